"""Provider credentials in MAIL_SECRETS: encrypted under the key ring, one message per version.

The secret is written before the fact that names it, so a fact never names what is not there; what no fact names is
taken away after an hour. How they are encrypted anew when keys change is in `libs.common.resealing`.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import uuid4

import orjson

from libs.common.bus import Bus, BusError
from libs.common.errors import UnavailableError
from libs.common.events.provider import ProviderState
from libs.common.provider_secrets import KIND, read_secret
from libs.common.resealing import delete_sealed, put_sealed, written_at
from libs.common.secrets import RingFile, SecretsError, UnknownKeyError
from libs.common.streams import EVENTS, SECRETS, secret_subject
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
        subject = secret_subject(KIND, provider_id, version)
        await put_sealed(self._bus, self._ring, subject, orjson.dumps(dict(secret)), msg_id=version)
        return version

    async def get(self, provider_id: int, version: str) -> Mapping[str, str]:
        """Read and decrypt. Raises `SecretLostError`, `SecretsError`, `UnavailableError` (its key is not here yet)."""
        try:
            return await self._get(provider_id, version)
        except UnknownKeyError as error:
            raise UnavailableError(f"{error}, or has not arrived here yet") from error

    async def _get(self, provider_id: int, version: str) -> Mapping[str, str]:
        try:
            secret = await read_secret(self._bus, self._ring, provider_id, version)
        except BusError as error:
            raise UnavailableError("the stored credentials cannot be read") from error
        if secret is None:
            raise SecretLostError(f"the credentials of provider {provider_id} are not stored any more")
        return secret

    async def check(self, providers: Iterable[ProviderState]) -> None:
        """The canary at start: every stored secret decrypts. Raises `SecretsError` naming the first that does not."""
        for provider in tuple(providers):  # a view changes while its secrets are read
            if provider.credential_version is None:
                continue
            try:
                await self._get(provider.id, provider.credential_version)
            except SecretLostError as lost:
                # Nothing decrypts wrongly, so the service may start: somebody has to give them anew.
                log.error("%s: give them anew", lost)  # noqa: TRY400 - the text says it all
            except SecretsError as error:
                raise SecretsError(
                    f"{error}: the key ring is not the one that provider {provider.id} was stored with"
                ) from error

    async def clean(self, known: Known[ProviderState], *, unnamed_for: float = _UNNAMED_FOR) -> int:
        """Delete versions that no provider names and that are older; how many. Raises `BusError`.

        `known` must be at least as new as the start of this call. A log that was lost and made anew names nothing:
        what is older than the log, or of a provider that it has never heard of, is kept.
        """
        named = {
            secret_subject(KIND, provider.id, provider.credential_version)
            for provider in known.live.values()
            if provider.credential_version is not None
        }
        highest, limit = known.highest, time.time() - unnamed_for
        log_began = datetime.fromisoformat((await self._bus.stream_state(EVENTS)).created).timestamp()
        unnamed = [
            message
            async for message in self._bus.direct_batch(SECRETS, f"secret.{KIND}.>")
            if message.subject not in named
            and log_began < written_at(message) < limit
            and int(message.subject.split(".")[2]) <= highest
        ]
        return sum([await delete_sealed(self._bus, message) for message in unnamed])
