"""Relays for providers as they are stored, with the patience of somebody who waits for the answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.errors import TempsError
from libs.common.events.provider import ProviderState
from libs.common.relay.opening import Surroundings, open_relay
from libs.common.relay.port import Relay, Trouble


@dataclass(frozen=True, slots=True)
class OpenRelays:
    """The port `Relays` over libs.common.relay."""

    surroundings: Surroundings

    def open(self, provider: ProviderState, secret: Mapping[str, str]) -> Relay:
        """Raises `TempsError` (`credentials_rejected`) where the stored settings cannot be used."""
        opened = open_relay(provider, secret, self.surroundings, connections=1, patience="hurried")
        if isinstance(opened, Trouble):
            raise TempsError(opened.text, slug="credentials_rejected", suggestion=opened.suggestion)
        return opened
