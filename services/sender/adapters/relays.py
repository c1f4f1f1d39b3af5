"""From a provider's settings and its encrypted secret to a relay that can send."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from libs.common.bus import Bus
from libs.common.events.provider import ProviderState
from libs.common.relay.opening import Patience, Surroundings, open_relay
from libs.common.relay.port import Relay, Trouble
from libs.common.secrets import KeyRing, SecretsError
from libs.common.streams import SECRETS, secret_subject
from services.sender.adapters.journal import persistently

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Relays:
    """Opens relays; the secret is read when it is needed and kept by the relay alone."""

    bus: Bus
    ring: KeyRing
    surroundings: Surroundings

    async def open(self, provider: ProviderState, connections: int) -> Relay | Trouble:
        """A relay of that many connections, or the configuration trouble that stands in the way."""
        try:
            secret = await self._secret(provider)
        except SecretsError as error:
            return Trouble("configuration", f"The provider's credentials cannot be read: {error}")
        patience: Patience = "brisk" if provider.fallback_provider_ids else "patient"
        return open_relay(provider, secret, self.surroundings, connections=connections, patience=patience)

    async def _secret(self, provider: ProviderState) -> Mapping[str, str]:
        version = provider.credential_version
        if version is None:
            return {}
        subject = secret_subject("provider", provider.id, version)
        stored = await persistently(lambda: self.bus.direct_last(SECRETS, subject))
        if stored is None:
            raise SecretsError("they are not in the store")
        plain = self.ring.decrypt(stored.data, bound_to=f"provider/{provider.id}")
        try:
            secret: Mapping[str, str] = orjson.loads(plain)
        except orjson.JSONDecodeError:
            raise SecretsError("they are not in the form this version knows") from None
        return secret
