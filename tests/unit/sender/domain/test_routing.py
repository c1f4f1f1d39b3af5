"""From a sender's domain to a provider, a capture or a refusal."""

from typing import Any

import pytest

from libs.common.events.domain import DomainState
from services.sender.domain.routing import Captured, Refused, Routed, decide_route
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


def test_an_unregistered_domain_goes_to_the_default() -> None:
    decision = decide_route("sub.acme.example", registered(), providers(ACTIVE, DEFAULT))
    assert isinstance(decision, Routed)
    assert (decision.provider.id, decision.route.reason, decision.route.domain_id) == (3, "default", None)


@pytest.mark.parametrize(
    "default",
    [
        None,
        provider_state(3, 25, is_default=True, is_active=False),
        provider_state(3, 25, is_default=True, provider_type="ses", smtp=None),
    ],
)
def test_an_unregistered_domain_is_captured_without_a_default_that_can_send(default: Any) -> None:
    known = providers(ACTIVE, default) if default is not None else providers(ACTIVE)
    decision = decide_route("other.example", registered(), known)
    assert isinstance(decision, Captured)
    assert decision.route.reason == "none"
