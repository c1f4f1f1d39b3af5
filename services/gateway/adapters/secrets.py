"""Password hashes in MAIL_SECRETS, encrypted under the gateway's own key ring."""

from dataclasses import dataclass, field

from libs.common.append import publish_durably
from libs.common.bus import Bus, BusError
from libs.common.errors import UnavailableError
from libs.common.secrets import KeyRing
from libs.common.streams import SECRETS, secret_subject


@dataclass(frozen=True, slots=True)
class PasswordHashes:
    """`version` is the user's `credential_version`."""

    bus: Bus
    ring: KeyRing = field(repr=False)

    async def store(self, user_id: int, version: str, encoded: str) -> None:
        """Written before the fact that names it. Errors as of `publish_durably`."""
        sealed = self.ring.encrypt(encoded.encode(), bound_to=f"user/{user_id}")
        await publish_durably(self.bus, secret_subject("user", user_id, version), sealed, msg_id=version)

    async def load(self, user_id: int, version: str) -> str | None:
        """The hash, None when there is none. Raises UnavailableError, SecretsError."""
        try:
            stored = await self.bus.direct_last(SECRETS, secret_subject("user", user_id, version))
        except BusError as error:
            raise UnavailableError("NATS is away: nobody can log in at the moment.") from error
        return None if stored is None else self.ring.decrypt(stored.data, bound_to=f"user/{user_id}").decode()
