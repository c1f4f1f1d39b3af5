"""Which provider an email goes to, from its sender's domain; or why it is refused (DESIGN 5, *Routing*)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from libs.common.events.domain import DomainState
from libs.common.events.email import Route
from libs.common.events.provider import ProviderState

DELIVERS = frozenset({"smtp"})
"""Provider types whose adapter exists."""


@dataclass(frozen=True, slots=True)
class Routed:
    """It goes to this provider."""

    provider: ProviderState
    route: Route


@dataclass(frozen=True, slots=True)
class Captured:
    """Nobody is responsible for it: stored, visible, sent to nobody."""

    route: Route


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not accepted; `slug` is the error's."""

    slug: Literal["domain_not_verified", "provider_inactive"]
    domain: DomainState


Decision = Routed | Captured | Refused


def decide_route(
    sender_domain: str, domains: Mapping[str, DomainState], providers: Mapping[int, ProviderState]
) -> Decision:
    """`sender_domain` is lower case and IDNA; `providers` holds those that exist.

    A stopped provider is still responsible: its mail waits until somebody has mended it.
    """
    domain = domains.get(sender_domain)
    if domain is None:
        default = default_provider(providers)
        if default is None:
            return Captured(Route(reason="none", detail=f"no provider for {sender_domain} and no default"))
        return Routed(default, Route(reason="default"))
    if domain.status != "verified":
        return Refused("domain_not_verified", domain)
    own = providers.get(domain.provider_id)
    if own is not None and usable(own):
        return Routed(own, Route(reason="domain", domain_id=domain.id))
    for fallback in _fallbacks(own, providers):
        detail = f"provider {domain.provider_id} is inactive"
        return Routed(fallback, Route(reason="fallback", domain_id=domain.id, detail=detail))
    return Refused("provider_inactive", domain)


def default_provider(providers: Mapping[int, ProviderState]) -> ProviderState | None:
    """The default, if it can take mail; there is at most one."""
    return next((each for each in providers.values() if each.is_default and usable(each)), None)


def usable(provider: ProviderState) -> bool:
    """Whether new mail may be given to it."""
    return provider.is_active and provider.provider_type in DELIVERS


def _fallbacks(provider: ProviderState | None, providers: Mapping[int, ProviderState]) -> Iterator[ProviderState]:
    for identifier in provider.fallback_provider_ids if provider is not None else ():
        candidate = providers.get(identifier)
        if candidate is not None and usable(candidate):
            yield candidate
