"""From a provider's settings and its encrypted secret to a relay that can send."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from libs.common.bus import Bus
from libs.common.events.provider import ProviderState
from libs.common.provider_secrets import read_secret
from libs.common.relay.opening import Patience, Surroundings, open_relay
from libs.common.relay.port import Relay, Trouble
from libs.common.secrets import RingFile, SecretsError, UnknownKeyError
from services.sender.adapters.journal import persistently

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Relays:
    """Opens relays; the secret is read when it is needed and kept by the relay alone."""

    bus: Bus
    ring: RingFile
    surroundings: Surroundings

    async def open(self, provider: ProviderState, connections: int, patience: Patience) -> Relay | Trouble:
        """A relay of that many connections and that patience, or the trouble that stands in the way.

        A key that is not in the ring may be on its way here (a mounted ring is late on some machine), so that passes;
        what does not decrypt under its own key never will.
        """
        try:
            secret = await self._secret(provider)
        except UnknownKeyError as error:
            return Trouble("connection", f"The provider's credentials cannot be read yet: {error}")
        except SecretsError as error:
            return Trouble("configuration", f"The provider's credentials cannot be read: {error}")
        return open_relay(provider, secret, self.surroundings, connections=connections, patience=patience)

    async def check(self, providers: Iterable[ProviderState]) -> None:
        """The canary at start: with another installation's ring every provider would be stopped, one after the other.

        Raises `SecretsError` when nothing decrypts and something is wrong. A single damaged secret is its provider's
        trouble alone.
        """
        read, wrong = 0, None
        for provider in tuple(providers):  # a view changes while its secrets are read
            if provider.credential_version is None:
                continue
            try:
                await self._secret(provider)
            except UnknownKeyError as error:
                log.warning("provider %d waits for its key: %s", provider.id, error)
            except SecretsError as error:
                log.error("provider %d: %s", provider.id, error)  # noqa: TRY400 - the text says it all
                wrong = wrong if isinstance(error, _NotStoredError) else error
            else:
                read += 1
        if wrong is not None and not read:
            log.critical("%s. Start with the right TEMPS_KEYRING_FILE.", wrong)
            raise wrong

    async def _secret(self, provider: ProviderState) -> Mapping[str, str]:
        version = provider.credential_version
        if version is None:
            return {}
        secret = await persistently(lambda: read_secret(self.bus, self.ring, provider.id, version))
        if secret is None:
            raise _NotStoredError("they are not in the store")
        return secret


class _NotStoredError(SecretsError):
    """Nothing decrypts wrongly: somebody has to give them anew."""
