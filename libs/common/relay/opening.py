"""From a stored provider and its decrypted secret to a relay, whatever its kind."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Literal

from libs.common.facts.provider import ProviderState
from libs.common.relay.kinds import kind_of
from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import Relay, Trouble
from libs.common.settings import RelaySettings, own_ports, own_servers

Patience = Literal["patient", "brisk", "hurried"]
"""How long to wait: `patient` as the standards say, `brisk` where another provider could take over, `hurried` where a
person is waiting and all of it has to end within ten seconds."""

HTTP_PATIENCE: Mapping[Patience, tuple[float, float]] = {"patient": (5, 30), "brisk": (5, 15), "hurried": (3, 6)}
"""Seconds to connect, and for the answer once the request is out."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Operator settings that apply to every provider.

    `smtp_ports` are those of SMTP relays; empty is any.
    """

    policy: OutboundPolicy = field(default_factory=OutboundPolicy)
    allow_custom_endpoints: bool = False
    scaleway_api_url: str = "https://api.scaleway.com"
    smtp_ports: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class RelaySpec:
    """The input of a kind's opener."""

    provider: ProviderState
    secret: Mapping[str, str] = field(repr=False)
    surroundings: Surroundings
    connections: int
    patience: Patience


Opener = Callable[[RelaySpec], Relay | Trouble]
"""A relay with nothing connected yet, or the configuration trouble that stands in the way."""


def surroundings(settings: RelaySettings) -> Surroundings:
    """The surroundings that the settings describe."""
    policy = OutboundPolicy(
        own_ports=own_ports(settings),
        own_servers=own_servers(settings),
        allow_private=settings.outbound_policy == "allow_private",
        inbox=settings.local_inbox_smtp,
    )
    return Surroundings(
        policy=policy,
        allow_custom_endpoints=settings.allow_custom_endpoints,
        scaleway_api_url=settings.scaleway_api_url,
        smtp_ports=settings.smtp_ports,
    )


def open_relay(
    provider: ProviderState,
    secret: Mapping[str, str],
    around: Surroundings,
    *,
    connections: int,
    patience: Patience = "patient",
) -> Relay | Trouble:
    """A relay, nothing connected yet; or the trouble that stands in the way. Call it inside the loop.

    A kind that this version does not know is no fault of the provider's settings: a newer version may know it.
    """
    kind = kind_of(provider.provider_type)
    if kind is None:
        return Trouble("connection", f"this version does not know providers of type {provider.provider_type}")
    # Imported when the first of its kind is opened: an adapter costs memory and time, and most are never needed.
    module, _, name = kind.opener.partition(":")
    opener: Opener = getattr(import_module(module), name)
    return opener(RelaySpec(provider, secret, around, connections, patience))
