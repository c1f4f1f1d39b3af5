"""Sending domains: one name once, a check recorded as what it found."""

from datetime import UTC, datetime

import pytest

from libs.common.errors import ConflictError
from libs.common.facts.domain import DomainState, DomainVerificationFailed, DomainVerified
from services.providers.sending_domains import domain_rules as domains
from services.providers.sending_domains.verification_rules import Checked

GOOD = Checked("verified", (), None, confirmed=True)
T0, T1, T2 = (datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3))


def created(id: int, name: str, provider_id: int = 1, known: dict[int, DomainState] | None = None) -> DomainState:
    return domains.create(known or {}, id=id, provider_id=provider_id, name=name, checked=GOOD, at=T0).domain


def test_a_name_is_registered_once_whoever_the_provider_is() -> None:
    first = created(1, "example.com")
    assert (first.status, first.last_verified_at) == ("verified", T0)
    with pytest.raises(ConflictError) as refused:
        created(2, "example.com", provider_id=2, known={1: first})
    assert refused.value.slug == "duplicate_domain"
    assert created(2, "www.example.com", known={1: first}).id == 2


def test_a_check_says_what_it_found_and_keeps_the_last_success() -> None:
    state = created(1, "example.com")
    good = domains.verified(state, GOOD, T1)
    assert isinstance(good, DomainVerified)
    assert good.domain.last_verified_at == T1
    bad = domains.verified(good.domain, Checked("failed", (), "no DKIM", confirmed=False), T2)
    assert isinstance(bad, DomainVerificationFailed)
    assert (bad.domain.status, bad.domain.verification_error, bad.domain.last_verified_at) == ("failed", "no DKIM", T1)


def test_a_domain_that_is_merely_still_verified_is_no_new_success() -> None:
    still = domains.verified(created(1, "example.com"), Checked("verified", (), "no answer", confirmed=False), T1)
    assert isinstance(still, DomainVerificationFailed)
    assert (still.domain.status, still.domain.last_verified_at, still.domain.updated_at) == ("verified", T0, T1)


def test_a_providers_domains_are_found_oldest_first() -> None:
    states = [created(3, "c.example"), created(1, "a.example"), created(2, "b.example", provider_id=2)]
    known = {state.id: state for state in states}
    assert [state.id for state in domains.of_provider(known, 1)] == [1, 3]
    assert domains.by_name(known, "b.example") == states[2]
    assert domains.by_name(known, "d.example") is None
