"""What a view knows after a set's facts."""

from datetime import UTC, datetime

from libs.common.facts import Actor, Envelope, Fact, new_envelope
from libs.common.facts.provider import ProviderCreated, ProviderDeleted, ProviderStopped, ProviderUpdated, Stopped
from services.providers.states_fold import known_domains, known_providers
from tests.unit.providers.samples import T0, provider


def stored(fact: Fact) -> Envelope:
    return new_envelope(fact, source="test", actor=Actor(id="t", kind="system"), at=datetime.now(UTC))


def test_the_last_fact_counts_whatever_its_kind() -> None:
    known = known_providers()
    known.apply(stored(ProviderCreated(provider=provider(1))))
    known.apply(stored(ProviderUpdated(provider=provider(1, name="Other"), changed_fields=["name"])))
    assert known.live[1].name == "Other"
    stopped = provider(1, stopped=Stopped(reason="535", at=T0))
    known.apply(stored(ProviderStopped(provider=stopped)))
    assert known.live == {1: stopped}


def test_a_deleted_one_is_gone_and_its_id_is_remembered() -> None:
    known = known_providers()
    known.apply(stored(ProviderCreated(provider=provider(1))))
    known.apply(stored(ProviderDeleted(provider=provider(7), forced=True)))
    assert (set(known.live), known.highest) == ({1}, 7)
    known.reset()
    assert (known.live, known.highest) == ({}, 0)


def test_facts_of_other_sets_and_of_later_versions_are_skipped() -> None:
    known = known_domains()
    fact = stored(ProviderCreated(provider=provider(1)))
    known.apply(fact)
    known.apply(Envelope("1", "s", "domain.created.v9", "domain/1", fact.time, {}))
    assert known.live == {}
