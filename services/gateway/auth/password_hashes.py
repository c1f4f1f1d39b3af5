"""Password hashes in MAIL_SECRETS, encrypted under the gateway's own key ring."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from libs.common.errors import UnavailableError
from libs.common.facts.user import UserState
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import secret_subject
from libs.common.vault.keyring import RingFile, UnknownKeyError
from libs.common.vault.rotation import put_sealed
from libs.common.vault.store import USER, check_ring, read_stored


@dataclass(frozen=True, slots=True)
class PasswordHashes:
    """`version` is the user's `credential_version`."""

    bus: Bus
    ring: RingFile = field(repr=False)

    async def store(self, user_id: int, version: str, encoded: str) -> None:
        """Written before the fact that names it. Errors as of `publish_durably`."""
        subject = secret_subject(USER, user_id, version)
        await put_sealed(self.bus, self.ring, subject, encoded.encode(), msg_id=version)

    async def load(self, user_id: int, version: str) -> str | None:
        """The hash, None when there is none. Raises UnavailableError, SecretsError."""
        try:
            return await self._read(user_id, version)
        except UnknownKeyError as error:
            raise UnavailableError("Nobody can log in at the moment: a key is missing here.") from error

    async def check(self, users: Iterable[UserState]) -> None:
        """The canary at start. Raises SecretsError (another installation's ring), UnavailableError."""
        named = ((user.id, user.credential_version) for user in tuple(users))
        await check_ring(USER, named, self._read, encrypts=True)

    async def _read(self, user_id: int, version: str) -> str | None:
        try:
            stored = await read_stored(self.bus, self.ring, USER, user_id, version)
        except BusError as error:
            raise UnavailableError("NATS is away: nobody can log in at the moment.") from error
        return None if stored is None else stored.decode()
