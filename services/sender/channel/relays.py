"""From a provider's settings and its encrypted secret to a relay that can send."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from libs.common.facts.provider import ProviderState
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.retrying import persistently
from libs.common.relay.opening import Patience, Surroundings, open_relay
from libs.common.relay.port import Relay, Trouble
from libs.common.vault.keyring import RingFile, SecretsError, UnknownKeyError
from libs.common.vault.store import PROVIDER, check_ring, read_credentials


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
            secret = await self._credentials(provider)
        except UnknownKeyError as error:
            return Trouble("connection", f"The provider's credentials cannot be read yet: {error}")
        except SecretsError as error:
            return Trouble("configuration", f"The provider's credentials cannot be read: {error}")
        return open_relay(provider, secret, self.surroundings, connections=connections, patience=patience)

    async def check(self, providers: Iterable[ProviderState]) -> None:
        """The canary at start: with another installation's ring every provider would be stopped, one after the other.

        Raises `SecretsError`.
        """
        named = ((provider.id, provider.credential_version) for provider in tuple(providers))
        await check_ring(PROVIDER, named, self._read, encrypts=False)

    async def _credentials(self, provider: ProviderState) -> Mapping[str, str]:
        if provider.credential_version is None:
            return {}
        secret = await self._read(provider.id, provider.credential_version)
        if secret is None:
            raise SecretsError("they are not in the store")
        return secret

    async def _read(self, provider_id: int, version: str) -> Mapping[str, str] | None:
        return await persistently(lambda: read_credentials(self.bus, self.ring, provider_id, version))
