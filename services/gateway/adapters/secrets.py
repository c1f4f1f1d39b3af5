"""Password hashes in MAIL_SECRETS, encrypted under the gateway's own key ring."""

from dataclasses import dataclass, field

from libs.common.bus import Bus, BusError
from libs.common.errors import UnavailableError
from libs.common.resealing import put_sealed
from libs.common.secrets import RingFile, UnknownKeyError
from libs.common.streams import SECRETS, secret_subject


@dataclass(frozen=True, slots=True)
class PasswordHashes:
    """`version` is the user's `credential_version`."""

    bus: Bus
    ring: RingFile = field(repr=False)

    async def store(self, user_id: int, version: str, encoded: str) -> None:
        """Written before the fact that names it. Errors as of `publish_durably`."""
        subject = secret_subject("user", user_id, version)
        await put_sealed(self.bus, self.ring, subject, encoded.encode(), msg_id=version)

    async def load(self, user_id: int, version: str) -> str | None:
        """The hash, None when there is none. Raises UnavailableError, SecretsError."""
        try:
            stored = await self.bus.direct_last(SECRETS, secret_subject("user", user_id, version))
        except BusError as error:
            raise UnavailableError("NATS is away: nobody can log in at the moment.") from error
        try:
            return None if stored is None else self.ring.decrypt(stored.data, bound_to=f"user/{user_id}").decode()
        except UnknownKeyError as error:
            raise UnavailableError("Nobody can log in at the moment: a key is missing here.") from error
