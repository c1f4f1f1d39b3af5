"""Provider credentials in MAIL_SECRETS: encrypted under the key ring, one message per version.

The secret is written before the fact that names it, so a fact never names what is not there; what no fact names is
taken away after an hour.
"""

import logging
import time
from collections.abc import Iterable, Mapping
from uuid import uuid4

import orjson

from libs.common.append import publish_durably
from libs.common.bus import Bus, BusError
from libs.common.errors import UnavailableError
from libs.common.events.provider import ProviderState
from libs.common.secrets import KeyRing, SecretsError
from libs.common.streams import SECRETS, secret_subject
from services.providers.ports import SecretLostError

log = logging.getLogger(__name__)

_KIND = "provider"
_UNNAMED_FOR = 3600.0
"""Seconds after which a version that no fact names was left behind by a lost race or a crash."""


class StoredSecrets:
    """The port `Secrets` over the bus."""

    def __init__(self, bus: Bus, ring: KeyRing) -> None:
        self._bus, self._ring = bus, ring

    async def put(self, provider_id: int, secret: Mapping[str, str]) -> str:
        """Encrypt and store; the version's name."""
        version = str(uuid4())
        sealed = self._ring.encrypt(orjson.dumps(dict(secret)), bound_to=_owner(provider_id))
        await publish_durably(self._bus, secret_subject(_KIND, provider_id, version), sealed, msg_id=version)
        return version

    async def get(self, provider_id: int, version: str) -> Mapping[str, str]:
        """Read and decrypt. Raises `SecretLostError`, `SecretsError`, `UnavailableError`."""
        try:
            stored = await self._bus.direct_last(SECRETS, secret_subject(_KIND, provider_id, version))
        except BusError as error:
            raise UnavailableError("the stored credentials cannot be read") from error
        if stored is None:
            raise SecretLostError(f"the credentials of provider {provider_id} are not stored any more")
        plain = self._ring.decrypt(stored.data, bound_to=_owner(provider_id))
        secret: dict[str, str] = orjson.loads(plain)
        return secret

    async def check(self, providers: Iterable[ProviderState]) -> None:
        """The canary at start: every stored secret decrypts. Raises `SecretsError` naming the first that does not."""
        for provider in providers:
            if provider.credential_version is None:
                continue
            try:
                await self.get(provider.id, provider.credential_version)
            except SecretLostError as lost:
                # Nothing decrypts wrongly, so the service may start: somebody has to give them anew.
                log.error("%s: give them anew", lost)  # noqa: TRY400 - the text says it all
            except SecretsError as error:
                raise SecretsError(
                    f"{error}: the key ring is not the one that provider {provider.id} was stored with"
                ) from error

    async def clean(self, providers: Iterable[ProviderState], *, unnamed_for: float = _UNNAMED_FOR) -> int:
        """Delete versions that none of `providers` names and that are older; how many. Raises `BusError`.

        `providers` must be at least as new as the start of this call.
        """
        named = {
            secret_subject(_KIND, provider.id, provider.credential_version)
            for provider in providers
            if provider.credential_version is not None
        }
        limit = time.time() - unnamed_for
        unnamed = [
            message.sequence
            async for message in self._bus.direct_batch(SECRETS, f"secret.{_KIND}.>")
            if message.subject not in named and message.time < limit
        ]
        for sequence in unnamed:
            # Overwritten on disk (`no_erase` false): a deleted secret is no secret kept.
            await self._bus.api(f"STREAM.MSG.DELETE.{SECRETS}", {"seq": sequence})
        return len(unnamed)


def _owner(provider_id: int) -> str:
    return f"{_KIND}/{provider_id}"
