"""Provider credentials in MAIL_SECRETS: encrypted under the key ring, one message per version.

The secret is written before the fact that names it, so a fact never names what is not there; what no fact names is
taken away after an hour. How they are encrypted anew when keys change is in `libs.common.vault.rotation`.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import uuid4

import orjson

from libs.common.errors import UnavailableError
from libs.common.facts.provider import ProviderState
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import EVENTS, SECRETS, secret_subject
from libs.common.vault.keyring import RingFile, SecretsError, UnknownKeyError
from libs.common.vault.rotation import delete_sealed, put_sealed, written_at
from libs.common.vault.store import PROVIDER, check_ring, read_credentials
from services.providers.ports import Known, SecretLostError

log = logging.getLogger(__name__)

_UNNAMED_FOR = 3600.0
"""Seconds after which a version that no fact names was left behind by a lost race or a crash."""


class StoredSecrets:
    """The port `Secrets` over the bus."""

    def __init__(self, bus: Bus, ring: RingFile) -> None:
        self._bus, self._ring = bus, ring

    async def put(self, provider_id: int, secret: Mapping[str, str]) -> str:
        """Encrypt and store; the version's name."""
        version = str(uuid4())
        subject = secret_subject(PROVIDER, provider_id, version)
        await put_sealed(self._bus, self._ring, subject, orjson.dumps(dict(secret)), msg_id=version)
        return version

    async def get(self, provider_id: int, version: str) -> Mapping[str, str]:
        """Read and decrypt. Raises `SecretLostError`, `UnavailableError` (its key is not here yet)."""
        try:
            secret = await self._read(provider_id, version)
        except UnknownKeyError as error:
            raise UnavailableError(f"{error}, or has not arrived here yet") from error
        except SecretsError as error:
            raise SecretLostError(f"the credentials of provider {provider_id} are damaged: {error}") from error
        if secret is None:
            raise SecretLostError(f"the credentials of provider {provider_id} are not stored any more")
        return secret

    async def _read(self, provider_id: int, version: str) -> Mapping[str, str] | None:
        try:
            return await read_credentials(self._bus, self._ring, provider_id, version)
        except BusError as error:
            raise UnavailableError("the stored credentials cannot be read") from error

    async def check(self, providers: Iterable[ProviderState]) -> None:
        """The canary at start. Raises `SecretsError` (another installation's ring) and `UnavailableError`."""
        named = ((provider.id, provider.credential_version) for provider in tuple(providers))
        await check_ring(PROVIDER, named, self._read, encrypts=True)

    async def clean(self, known: Known[ProviderState], *, unnamed_for: float = _UNNAMED_FOR) -> int:
        """Delete versions that no provider names and that are older; how many. Raises `BusError`.

        `known` must be at least as new as the start of this call. A log that was lost and made anew names nothing:
        what is older than the log, or of a provider that it has never heard of, is kept.
        """
        named = {
            secret_subject(PROVIDER, provider.id, provider.credential_version)
            for provider in known.live.values()
            if provider.credential_version is not None
        }
        highest, limit = known.highest, time.time() - unnamed_for
        log_began = datetime.fromisoformat((await self._bus.stream_state(EVENTS)).created).timestamp()
        unnamed = [
            message
            async for message in self._bus.direct_batch(SECRETS, f"secret.{PROVIDER}.>")
            if message.subject not in named
            and log_began < written_at(message) < limit
            and int(message.subject.split(".")[2]) <= highest
        ]
        return sum([await delete_sealed(self._bus, message) for message in unnamed])
