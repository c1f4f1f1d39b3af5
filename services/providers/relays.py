"""Relays for providers as they are stored, with the patience of somebody who waits for the answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.facts.provider import ProviderState
from libs.common.relay.opening import Surroundings, open_relay
from libs.common.relay.port import Relay, Trouble


@dataclass(frozen=True, slots=True)
class OpenRelays:
    """The port `Relays` over libs.common.relay."""

    surroundings: Surroundings

    def open(self, provider: ProviderState, secret: Mapping[str, str]) -> Relay | Trouble:
        """One connection, hurried."""
        return open_relay(provider, secret, self.surroundings, connections=1, patience="hurried")
