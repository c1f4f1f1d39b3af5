"""The table in the header of `services/sender/deliver/decide.py`, row by row: given, when, then."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from libs.common.facts import timestamp
from libs.common.facts.email import EmailDeferred, EmailFailed, EmailRerouted, EmailSent, EmailUnknown
from libs.common.relay.port import SendResult, unknown
from services.sender.deliver.case import Case, Decision, End, NoMessage
from services.sender.deliver.decide import LEFT, THROTTLED_TRIES, decide, write_off
from services.sender.routing_rules import Closed
from tests.unit.sender.deliver.cases import (
    ADA,
    BOB,
    EMAIL,
    HOME,
    LATER,
    NOW,
    SECOND,
    THIRD,
    TO_SECOND,
    accepted,
    attempt,
    case,
    ended,
    said,
    trouble,
)

DOWN = Closed("circuit", "circuit open after 5 failures: connection refused")
NO_ANSWER = unknown("no answer within 600 s")
# In another's place: the provider 2 has an email of the provider 1.
GUEST: dict[str, Any] = {"of": {"provider_id": 2, "tried": (1,)}, "provider": SECOND}


def end_of(given: Case) -> Decision:
    decision = decide(given)
    assert decision is not None
    return decision


def fact_of(given: Case, kind: type[Any]) -> Any:
    fact: Any = end_of(given).fact
    assert type(fact) is kind
    assert fact.attempt == given.attempt.number
    return fact


# ------------------------------------------------------------------------------------------ before a provider is asked


@pytest.mark.parametrize("more", [{}, {"answer": said(ada="accepted")}, {"begun": True}, {"lost": True}])
def test_1_without_the_lease_nothing_is_decided(more: dict[str, Any]) -> None:
    assert decide(case(held=False, **more)) == LEFT


def test_2_an_attempt_that_ended_before_only_gets_its_schedule_again() -> None:
    outcomes = [{"address": ADA, "outcome": "deferred"}, {"address": BOB, "outcome": "accepted"}]
    sent = ended("sent", provider_id=1, next_at=timestamp(LATER), next_provider_id=None, recipients=outcomes)
    decision = end_of(case(earlier=sent, begun=True))
    assert (decision.end, decision.fact) == (End.REPEAT, None)
    assert decision.schedule == attempt(number=2, due_at=LATER, pending=(ADA,))


def test_2_an_attempt_that_ended_for_everybody_gets_nothing() -> None:
    outcomes = [{"address": ADA, "outcome": "accepted"}]
    done = ended("sent", provider_id=1, next_at=None, recipients=outcomes)
    assert end_of(case(earlier=done)) == Decision(End.REPEAT)


def test_2_an_attempt_that_moved_before_is_put_there_again() -> None:
    moved = ended("rerouted", from_provider_id=1, provider_id=2, tried=[1])
    assert end_of(case(earlier=moved)) == Decision(End.REPEAT, earlier=moved)


def test_3_what_a_lost_worker_may_have_begun_is_unknown() -> None:
    given = case(begun=True)
    fact = fact_of(given, EmailUnknown)
    assert (fact.stage, fact.policy, fact.next_at) == ("worker_lost", "retry", NOW)
    schedule = end_of(given).schedule
    assert schedule is not None
    assert (schedule.number, schedule.provider_id, schedule.pinned) == (2, 1, True)


def test_3_an_email_that_keeps_killing_workers_is_retried_later() -> None:
    assert fact_of(case(of={"number": 2}, begun=True), EmailUnknown).next_at == LATER


def test_3_a_provider_that_holds_unknown_outcomes_gets_no_second_try() -> None:
    given = case(begun=True, provider=HOME.model_copy(update={"unknown_policy": "hold"}))
    assert fact_of(given, EmailUnknown).policy == "hold"
    assert end_of(given).schedule is None


def test_3_of_an_email_that_the_log_has_lost_nobody_is_owed_a_try() -> None:
    assert fact_of(case(begun=True, accepted=None), EmailFailed).reason == "content_lost"


def test_4_without_connections_it_is_due_again_for_another_worker() -> None:
    given = case(has_slots=False)
    assert end_of(given) == Decision(End.HANDED_BACK, schedule=given.attempt)


@pytest.mark.parametrize("read", [accepted(), None])
def test_5_a_provider_that_is_not_known_yet_loses_no_mail(read: Any) -> None:
    assert decide(case(provider=None, accepted=read)) == LEFT


@pytest.mark.parametrize("more", [{}, {"provider": None, "gone": HOME}])
def test_6_an_email_that_the_log_has_lost_fails(more: dict[str, Any]) -> None:
    fact = fact_of(case(accepted=None, lost=True, of={"pending": (BOB,)}, **more), EmailFailed)
    assert (fact.reason, [each.address for each in fact.recipients]) == ("content_lost", [BOB])


@pytest.mark.parametrize("reason", ["content_lost", "invalid_message"])
def test_7_what_makes_no_message_fails_also_where_another_is_open(reason: str) -> None:
    given = case(unmade=NoMessage(reason, "why"), closed=DOWN, target=TO_SECOND)
    fact = fact_of(given, EmailFailed)
    assert (fact.reason, {each.text for each in fact.recipients}) == (reason, {"why"})


def test_what_was_not_read_yet_is_read_first() -> None:
    assert decide(case(accepted=None)) is None
    assert decide(case(accepted=None, provider=None, gone=HOME)) is None


# ------------------------------------------------------------------------------------------- a provider that sends not


def test_8_mail_of_a_deleted_provider_moves() -> None:
    given = case(provider=None, gone=HOME, home_lives=False, target=replace(TO_SECOND, named=False))
    decision, fact = end_of(given), fact_of(given, EmailRerouted)
    assert (decision.end, decision.target, decision.because) == (End.MOVED, 2, "deleted")
    assert (fact.from_provider_id, fact.provider_id, fact.tried) == (1, 2, [1])
    assert (fact.route.reason, fact.route.home_provider_id) == ("default", 1)
    assert decision.only_with_lease


def test_9_a_guest_of_a_deleted_provider_waits_for_its_own() -> None:
    given = case(of=GUEST["of"], provider=None, gone=SECOND)
    fact = fact_of(given, EmailDeferred)
    assert (fact.reason, fact.next_provider_id) == ("provider_deleted", 1)
    assert end_of(given).only_with_lease


def test_10_mail_that_nobody_can_take_over_fails() -> None:
    given = case(provider=None, gone=HOME, home_lives=False)
    assert fact_of(given, EmailFailed).reason == "provider_deleted"
    assert end_of(given).only_with_lease


@pytest.mark.parametrize("kind", ["circuit", "stopped", "inactive", "quota"])
def test_11_mail_of_a_closed_provider_moves_to_one_that_is_open(kind: Any) -> None:
    given = case(closed=Closed(kind, "why"), target=TO_SECOND)
    decision, fact = end_of(given), fact_of(given, EmailRerouted)
    assert (decision.end, decision.because, decision.only_with_lease) == (End.MOVED, kind, True)
    assert (fact.route.reason, fact.route.detail) == ("fallback", "provider 1 (Relay 1): why")


def test_12_a_guest_of_a_closed_provider_waits_for_its_own() -> None:
    fact = fact_of(case(**GUEST, closed=DOWN), EmailDeferred)
    assert (fact.reason, fact.next_provider_id, fact.next_at) == ("connection", 1, LATER)
    assert end_of(case(**GUEST, closed=DOWN)).only_with_lease


def test_13_mail_pinned_to_a_closed_provider_makes_room() -> None:
    given = case(of={"pinned": True}, closed=DOWN, others_open=True)
    decision = end_of(given)
    assert (decision.end, decision.fact, decision.only_with_lease) == (End.PARKED, None, True)
    assert decision.schedule == replace(given.attempt, due_at=NOW + timedelta(seconds=30))


@pytest.mark.parametrize("given", [case(closed=DOWN), case(of={"pinned": True}, closed=DOWN), case()])
def test_14_it_waits_or_is_handed_over(given: Case) -> None:
    assert decide(given) is None


# -------------------------------------------------------------------------------------------------- after a hand-over


def test_14_an_attempt_abandoned_before_the_dot_is_made_again() -> None:
    assert decide(case(answer=SendResult(abandoned=True), target=TO_SECOND)) is None


@pytest.mark.parametrize(
    "members",
    [{}, {"held": False}, {"has_slots": False}, {"earlier": ended("deferred", recipients=[], next_at=None)}],
)
def test_14_an_attempt_without_hindrance_asks_for_nothing_else(members: dict[str, Any]) -> None:
    plain = case(**members)
    assert plain.unhindered
    other = case(**members, retry_at=None, target=TO_SECOND, others_open=True, home_lives=False)
    assert decide(plain) == decide(other)


@pytest.mark.parametrize(
    "members",
    [
        {"begun": True},
        {"lost": True},
        {"unmade": NoMessage("content_lost", "lost")},
        {"answer": said(ada="accepted", bob="accepted")},
        {"closed": Closed("circuit", "open")},
        {"provider": None, "gone": HOME},
        {"provider": None},
    ],
)
def test_each_hindrance_needs_the_retry_time_and_others(members: dict[str, Any]) -> None:
    assert not case(**members).unhindered


def test_15_a_provider_that_wants_less_is_offered_it_five_times() -> None:
    given = case(answer=trouble("throttled"), target=TO_SECOND)
    assert decide(replace(given, throttled=THROTTLED_TRIES - 1)) is None
    fact = fact_of(replace(given, throttled=THROTTLED_TRIES), EmailDeferred)
    assert (fact.reason, fact.next_provider_id) == ("throttled", None)


@pytest.mark.parametrize("kind", ["connection", "configuration", "quota"])
def test_16_trouble_of_the_provider_moves_its_mail(kind: str) -> None:
    given = case(answer=trouble(kind, "so"), target=TO_SECOND)
    decision, fact = end_of(given), fact_of(given, EmailRerouted)
    assert (decision.end, decision.because, decision.only_with_lease) == (End.MOVED, kind, True)
    assert fact.route.detail == "provider 1 (Relay 1): so"
    assert decision.stop_provider == ("so" if kind == "configuration" else None)


@pytest.mark.parametrize("kind", ["connection", "configuration", "quota"])
def test_17_trouble_without_another_provider_lets_everybody_wait(kind: str) -> None:
    given = case(answer=trouble(kind, "so"), began=NOW - timedelta(seconds=1.5))
    decision, fact = end_of(given), fact_of(given, EmailDeferred)
    assert (fact.reason, fact.duration_ms, fact.next_at) == (kind, 1_500, LATER)
    assert {(each.address, each.smtp_code) for each in fact.recipients} == {(ADA, 421), (BOB, 421)}
    assert decision.only_with_lease
    assert decision.stop_provider == ("so" if kind == "configuration" else None)


def test_17_trouble_that_lasts_too_long_gives_the_email_up() -> None:
    assert fact_of(case(answer=trouble("connection"), retry_at=None), EmailFailed).reason == "gave_up"


def test_18_no_answer_after_the_final_dot_is_unknown_and_stays() -> None:
    given = case(**GUEST, answer=NO_ANSWER, target=TO_SECOND)
    fact, schedule = fact_of(given, EmailUnknown), end_of(given).schedule
    assert (fact.stage, fact.next_provider_id) == ("final_dot", None)
    assert schedule is not None
    assert (schedule.provider_id, schedule.pinned) == (2, True)
    assert not end_of(given).only_with_lease


def test_19_a_stand_ins_refusal_moves_it_on() -> None:
    given = case(**GUEST, answer=said(ada="failed", bob="failed"), target=replace(TO_SECOND, provider=THIRD))
    decision, fact = end_of(given), fact_of(given, EmailRerouted)
    assert (decision.end, decision.target, decision.because) == (End.MOVED, 3, "refused")
    assert fact.tried == [1, 2]


def test_20_a_stand_ins_refusal_is_not_the_last_word() -> None:
    given = case(**GUEST, answer=said(ada="failed", bob="failed"))
    fact = fact_of(given, EmailDeferred)
    assert (fact.reason, fact.next_provider_id) == ("refused_by_fallback", 1)
    assert end_of(given).only_with_lease


@pytest.mark.parametrize(
    "given",
    [
        case(answer=said(ada="failed", bob="failed"), target=TO_SECOND),
        case(of={**GUEST["of"], "pinned": True}, provider=SECOND, answer=said(ada="failed", bob="failed")),
        case(**GUEST, answer=said(ada="failed", bob="failed"), home_lives=False),
    ],
    ids=["its own provider", "pinned", "its own provider is gone"],
)
def test_21_a_refusal_by_who_has_the_last_word_fails_it(given: Case) -> None:
    fact_of(given, EmailFailed)


@pytest.mark.parametrize("second", ["bounced", "accepted", "deferred"])
def test_21_a_stand_ins_word_counts_unless_it_refuses_everybody(second: Any) -> None:
    assert not isinstance(end_of(case(**GUEST, answer=said(ada="failed", bob=second))).fact, EmailRerouted)


@pytest.mark.parametrize(
    ("verdicts", "event", "pending"),
    [
        (("accepted", "accepted"), "sent", None),
        (("accepted", "deferred"), "sent", (BOB,)),
        (("deferred", "bounced"), "deferred", (ADA,)),
        (("bounced", "failed"), "bounced", None),
        (("failed", "failed"), "failed", None),
    ],
)
def test_21_each_recipients_answer_is_written_down(verdicts: Any, event: str, pending: Any) -> None:
    decision = end_of(case(answer=said(ada=verdicts[0], bob=verdicts[1]), target=TO_SECOND))
    fact: Any = decision.fact
    assert (decision.end, fact.EVENT, decision.only_with_lease) == (End.WRITTEN, event, False)
    assert tuple(each.outcome for each in fact.recipients) == verdicts
    assert (decision.schedule.pending if decision.schedule else None) == pending


def test_21_what_the_bundled_inbox_takes_is_captured() -> None:
    inbox = HOME.model_copy(update={"is_local_inbox": True})
    fact = fact_of(case(provider=inbox, answer=said(ada="accepted", bob="accepted")), EmailSent)
    assert (fact.captured, fact.provider_message_id, fact.email_id) == (True, "id-1", EMAIL)


# ------------------------------------------------------------------------------------------------------- faults of ours


def test_a_fault_before_the_final_dot_defers_and_after_it_is_unknown() -> None:
    deferred = write_off(case()).fact
    assert isinstance(deferred, EmailDeferred)
    assert (deferred.reason, deferred.next_at) == ("internal_error", LATER)
    unknown_fact = write_off(case(begun=True)).fact
    assert isinstance(unknown_fact, EmailUnknown)
    assert unknown_fact.stage == "final_dot"


def test_a_fault_with_an_email_that_is_lost_fails_it() -> None:
    fact = write_off(case(accepted=None)).fact
    assert isinstance(fact, EmailFailed)
    assert fact.reason == "content_lost"
