"""Which provider an email goes to, from its sender's domain; or why it is refused (docs/architecture.md, *Routing*)."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from libs.common.facts.domain import DomainState
from libs.common.facts.email import Route
from libs.common.facts.provider import ProviderState
from libs.common.relay.kinds import kind_of
from libs.common.relay.limits import Complaint

Complain = Callable[[ProviderState], Sequence[Complaint]]
"""Lists what a provider of that kind would refuse in this email."""


@dataclass(frozen=True, slots=True)
class Routed:
    """It goes to this provider."""

    provider: ProviderState
    route: Route


@dataclass(frozen=True, slots=True)
class Captured:
    """No provider is responsible for it: it is stored and visible, and not sent."""

    route: Route


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not accepted; `slug` is the error's."""

    slug: Literal["domain_not_verified", "provider_inactive"]
    domain: DomainState


@dataclass(frozen=True, slots=True)
class Unsuitable:
    """Its provider would not take such an email; another one is no answer to that."""

    complaints: Sequence[Complaint]


@dataclass(frozen=True, slots=True)
class Closed:
    """Why a provider takes nothing now: `text` in words that follow its name."""

    kind: Literal["inactive", "stopped", "unsupported", "circuit", "quota"]
    text: str


Decision = Routed | Captured | Refused | Unsuitable


def nothing_to_complain(provider: ProviderState) -> Sequence[Complaint]:
    """Every provider takes it."""
    del provider
    return ()


def decide_route(
    sender_domain: str,
    domains: Mapping[str, DomainState],
    providers: Mapping[int, ProviderState],
    complain: Complain = nothing_to_complain,
) -> Decision:
    """`sender_domain` is lower case and IDNA; `providers` holds those that exist.

    A stopped or inactive provider hands its mail to the first of its fallbacks that can take it. Without one, a
    stopped provider is still responsible: its mail waits until somebody has mended it.
    """
    domain = domains.get(sender_domain)
    if domain is None:
        default = default_provider(providers)
        if default is None:
            return Captured(Route(reason="none", detail=f"no provider for {sender_domain} and {_lack(providers)}"))
        return _at(default, Route(reason="default"), providers, complain)
    if domain.status != "verified":
        return Refused("domain_not_verified", domain)
    own = providers.get(domain.provider_id)
    routed = _at(own, Route(reason="domain", domain_id=domain.id), providers, complain) if own is not None else None
    if routed is None or (isinstance(routed, Routed) and not routed.provider.is_active):
        return Refused("provider_inactive", domain)
    return routed


def _at(
    home: ProviderState, route: Route, providers: Mapping[int, ProviderState], complain: Complain
) -> Routed | Unsuitable:
    complaints = complain(home)
    if complaints:
        return Unsuitable(complaints)
    why = why_unusable(home)
    if why is not None:
        for fallback in present(home.fallback_provider_ids, providers):
            if why_unusable(fallback) is None and not complain(fallback):
                return Routed(fallback, rerouted(route, home.id, fallback.id, f"{named(home)}: {why.text}"))
    return Routed(home, route)


def default_provider(providers: Mapping[int, ProviderState]) -> ProviderState | None:
    """The default, if its kind takes mail of any domain, as SMTP relays do; there is at most one.

    Of a kind that only a newer version knows, that one will know: its mail waits, for captured mail is sent to nobody.
    """
    taking = (each for each in providers.values() if each.is_default and each.is_active)
    return next((each for each in taking if _takes_any_domain(each)), None)


def _takes_any_domain(provider: ProviderState) -> bool:
    kind = kind_of(provider.provider_type)
    return kind is None or kind.takes_any_domain


def _lack(providers: Mapping[int, ProviderState]) -> str:
    """Why there is no default provider, in words that follow "and"; a default that cannot stand in is named."""
    named = next((each for each in providers.values() if each.is_default and each.is_active), None)
    if named is None:
        return "no default"
    return f"the default, {named.id} ({named.name}), sends for no domain that is not registered with it"


def candidates(home: ProviderState) -> list[int]:
    """The providers that may send this provider's mail, in order, itself first."""
    return list(dict.fromkeys([home.id, *home.fallback_provider_ids]))


def stand_ins(identifier: int, providers: Mapping[int, ProviderState]) -> set[int]:
    """The other providers that may send some of the mail waiting at this one: its own, or mail it is a fallback for."""
    found: set[int] = set()
    for provider in providers.values():
        able = candidates(provider)
        if identifier in able:
            found.update(able)
    return found - {identifier}


def present(identifiers: Iterable[int], providers: Mapping[int, ProviderState]) -> Iterator[ProviderState]:
    """The ones that exist, in the given order."""
    for identifier in identifiers:
        provider = providers.get(identifier)
        if provider is not None:
            yield provider


def why_unusable(provider: ProviderState) -> Closed | None:
    """Why new mail is better given to another, as far as its settings say; None when it can take some."""
    if not provider.is_active:
        return Closed("inactive", "inactive")
    if kind_of(provider.provider_type) is None:
        # Written by a newer version: the workers of that one send its mail.
        return Closed("unsupported", f"of type {provider.provider_type}, which this version does not know")
    return Closed("stopped", f"stopped: {provider.stopped.reason}") if provider.stopped is not None else None


def named(provider: ProviderState) -> str:
    """How messages to people name a provider."""
    return f"provider {provider.id} ({provider.name})"


def rerouted(email: Route, home_id: int, provider_id: int, detail: str, *, named: bool = True) -> Route:
    """The route of an email, accepted with the route `email`, that moves to another provider.

    It is either its own, or `named` as a fallback, or the default.
    """
    if not named:
        return Route(reason="default", domain_id=email.domain_id, detail=detail, home_provider_id=home_id)
    if provider_id == home_id:
        reason = "default" if email.domain_id is None else "domain"
        return Route(reason=reason, domain_id=email.domain_id, detail=detail)
    return Route(reason="fallback", domain_id=email.domain_id, detail=detail, home_provider_id=home_id)
