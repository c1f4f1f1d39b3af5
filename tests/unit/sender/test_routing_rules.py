"""From a sender's domain to a provider, a capture or a refusal."""

from typing import Any

import pytest

from libs.common.facts.domain import DomainState
from libs.common.facts.email import Route
from libs.common.facts.provider import ProviderState
from libs.common.relay.limits import Complaint
from services.sender.routing_rules import Captured, Refused, Routed, Unsuitable, decide_route, rerouted, stand_ins
from tests.support.sending import domain_state, provider_state

ACTIVE = provider_state(1, 25)
OTHER = provider_state(2, 25)
DEFAULT = provider_state(3, 25, is_default=True)


def registered(status: str = "verified", provider_id: int = 1) -> dict[str, DomainState]:
    return {"acme.example": domain_state(7, provider_id, "acme.example", status=status)}


def providers(*states: Any) -> dict[int, Any]:
    return {state.id: state for state in states}


def test_a_verified_domain_goes_to_its_provider_and_not_to_the_default() -> None:
    decision = decide_route("acme.example", registered(), providers(ACTIVE, DEFAULT))
    assert isinstance(decision, Routed)
    assert (decision.provider.id, decision.route.reason, decision.route.domain_id) == (1, "domain", 7)


@pytest.mark.parametrize("status", ["pending", "failed", "not_started", "temporary_failure"])
def test_a_domain_that_is_not_verified_is_refused_whatever_the_default(status: str) -> None:
    decision = decide_route("acme.example", registered(status), providers(ACTIVE, DEFAULT))
    assert isinstance(decision, Refused)
    assert decision.slug == "domain_not_verified"


def test_an_inactive_provider_is_refused_even_with_a_default() -> None:
    inactive = provider_state(1, 25, is_active=False)
    decision = decide_route("acme.example", registered(), providers(inactive, DEFAULT))
    assert isinstance(decision, Refused)
    assert decision.slug == "provider_inactive"


def test_a_provider_that_is_gone_is_no_reason_to_use_the_default() -> None:
    assert isinstance(decide_route("acme.example", registered(), providers(DEFAULT)), Refused)


def test_a_usable_fallback_takes_over_from_an_inactive_provider() -> None:
    inactive = provider_state(1, 25, is_active=False, fallback_provider_ids=[9, 4, 2])
    unusable = provider_state(4, 25, is_active=False)
    decision = decide_route("acme.example", registered(), providers(inactive, unusable, OTHER))
    assert isinstance(decision, Routed)
    assert (decision.provider.id, decision.route.reason) == (2, "fallback")


def test_a_stopped_provider_still_takes_its_mail() -> None:
    stopped = provider_state(1, 25, stopped={"reason": "credentials", "at": "2026-01-01T00:00:00Z"})
    assert isinstance(decide_route("acme.example", registered(), providers(stopped)), Routed)


STOPPED = {"reason": "535 credentials rejected", "at": "2026-01-01T00:00:00Z"}


def scaleway(identifier: int, **changes: Any) -> ProviderState:
    return provider_state(identifier, 25, provider_type="scaleway", smtp=None, region="fr-par", **changes)


def only_smtp(provider: ProviderState) -> list[Complaint]:
    return [] if provider.provider_type == "smtp" else [("to", "too many")]


def test_a_stopped_provider_hands_new_mail_to_its_fallback_and_says_why() -> None:
    stopped = provider_state(1, 25, name="Main", stopped=STOPPED, fallback_provider_ids=[4, 2])
    decision = decide_route("acme.example", registered(), providers(stopped, scaleway(4), OTHER), only_smtp)
    assert isinstance(decision, Routed)
    assert decision.provider.id == 2
    assert decision.route == Route(
        reason="fallback",
        domain_id=7,
        detail="provider 1 (Main): stopped: 535 credentials rejected",
        home_provider_id=1,
    )


@pytest.mark.parametrize(
    "other", [None, {"is_active": False}, {"stopped": STOPPED}], ids=["gone", "inactive", "stopped too"]
)
def test_a_stopped_provider_keeps_its_mail_without_a_usable_fallback(other: dict[str, Any] | None) -> None:
    stopped = provider_state(1, 25, stopped=STOPPED, fallback_provider_ids=[2])
    states = [stopped] if other is None else [stopped, provider_state(2, 25, **other)]
    decision = decide_route("acme.example", registered(), providers(*states))
    assert isinstance(decision, Routed)
    assert (decision.provider.id, decision.route.reason) == (1, "domain")


def test_a_stopped_default_hands_its_mail_to_its_own_fallbacks() -> None:
    default = provider_state(3, 25, is_default=True, stopped=STOPPED, fallback_provider_ids=[2])
    decision = decide_route("other.example", registered(), providers(default, OTHER))
    assert isinstance(decision, Routed)
    assert (decision.provider.id, decision.route.reason, decision.route.home_provider_id) == (2, "fallback", 3)


def test_every_kind_of_provider_takes_its_domains_mail() -> None:
    for kind in ("ses", "scaleway"):
        own = provider_state(1, 25, provider_type=kind, smtp=None, region="fr-par")
        decision = decide_route("acme.example", registered(), providers(own))
        assert isinstance(decision, Routed)
        assert decision.provider.id == 1


def test_what_its_provider_would_refuse_is_refused_whoever_else_would_take_it() -> None:
    own = scaleway(1, fallback_provider_ids=[2])
    for state in (own, own.model_copy(update={"is_active": False})):
        decision = decide_route("acme.example", registered(), providers(state, OTHER), only_smtp)
        assert isinstance(decision, Unsuitable)
        assert decision.complaints == [("to", "too many")]


def test_everybody_who_may_send_some_of_what_waits_at_a_provider() -> None:
    known = providers(
        provider_state(1, 25, fallback_provider_ids=[2, 3]), provider_state(2, 25), provider_state(3, 25), DEFAULT
    )
    assert stand_ins(1, known) == {2, 3}
    assert stand_ins(2, known) == {1, 3}, "mail of provider 1 may wait there"
    assert stand_ins(9, known) == set()


def test_the_route_of_a_moved_email_says_whose_it_is() -> None:
    email = Route(reason="domain", domain_id=7)
    away = rerouted(email, 1, 2, "why")
    assert (away.reason, away.domain_id, away.detail, away.home_provider_id) == ("fallback", 7, "why", 1)
    assert rerouted(away, 1, 1, "why").reason == "domain"
    assert rerouted(Route(reason="fallback"), 1, 1, "why").reason == "default"
    assert rerouted(email, 1, 3, "why", named=False).reason == "default"


def test_default_of_unknown_kind_keeps_its_mail() -> None:
    default = provider_state(3, 25, is_default=True, provider_type="pigeon", smtp=None)
    decision = decide_route("other.example", registered(), providers(ACTIVE, default))
    assert isinstance(decision, Routed)
    assert (decision.provider.id, decision.route.reason) == (3, "default")


def test_an_unregistered_domain_goes_to_the_default() -> None:
    decision = decide_route("sub.acme.example", registered(), providers(ACTIVE, DEFAULT))
    assert isinstance(decision, Routed)
    assert (decision.provider.id, decision.route.reason, decision.route.domain_id) == (3, "default", None)


@pytest.mark.parametrize(
    ("default", "said"),
    [
        (None, "and no default"),
        (provider_state(3, 25, is_default=True, is_active=False), "and no default"),
        (provider_state(3, 25, is_default=True, provider_type="ses", smtp=None), "and the default, 3 ("),
    ],
)
def test_an_unregistered_domain_is_captured_without_a_default_that_can_send(default: Any, said: str) -> None:
    known = providers(ACTIVE, default) if default is not None else providers(ACTIVE)
    decision = decide_route("other.example", registered(), known)
    assert isinstance(decision, Captured)
    assert decision.route.reason == "none"
    assert f"no provider for other.example {said}" in (decision.route.detail or "")
