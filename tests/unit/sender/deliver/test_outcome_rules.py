"""One attempt, one fact: which one, for whom, and what it asks for next."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from libs.common.facts.email import EmailUnknown, RecipientOutcome
from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.outcome_rules import Tried, concluded, ended_at, everybody, failed, next_attempt, unknown

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(minutes=2)
EMAIL = UUID("019b7600-0000-7000-8000-0000000000ab")
ATTEMPT = Attempt(EMAIL, 1, 3, "normal", NOW, NOW, 17)
TRIED = Tried(ATTEMPT, LATER)


def outcomes(*kinds: str) -> list[RecipientOutcome]:
    return [
        RecipientOutcome.model_validate({"address": f"r{n}@example.com", "outcome": kind})
        for n, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ("kinds", "event", "asks_again"),
    [
        (["accepted"], "sent", False),
        (["accepted", "bounced", "failed"], "sent", False),
        (["accepted", "deferred"], "sent", True),
        (["deferred"], "deferred", True),
        (["deferred", "bounced", "failed"], "deferred", True),
        (["bounced", "failed"], "bounced", False),
        (["failed", "failed"], "failed", False),
    ],
)
def test_the_type_is_the_best_that_anyone_got(kinds: list[str], event: str, asks_again: bool) -> None:  # noqa: FBT001 - a table
    fact = concluded(TRIED, outcomes(*kinds))
    assert event == fact.EVENT
    assert (fact.next_at is not None) is asks_again
    assert [each.outcome for each in fact.recipients] == kinds
    assert (fact.attempt, fact.provider_id) == (1, 3)


@pytest.mark.parametrize(
    ("kinds", "event"),
    [(["deferred"], "failed"), (["deferred", "bounced"], "bounced"), (["deferred", "accepted"], "sent")],
)
def test_without_another_try_the_pending_ones_fail(kinds: list[str], event: str) -> None:
    fact = concluded(Tried(ATTEMPT, None), outcomes(*kinds))
    assert (fact.EVENT, fact.reason, fact.next_at) == (event, "gave_up", None)
    assert fact.recipients[0].outcome == "failed"


@pytest.mark.parametrize(
    ("codes", "at_once"),
    [
        ([(250, None), (452, "4.5.3"), (452, None), (552, "5.5.3")], True),
        ([(250, None), (452, "4.5.3"), (450, "4.2.1")], False),
        ([(250, None), (452, "4.3.1")], False),
        ([(452, "4.5.3"), (452, "4.5.3")], False),
    ],
)
def test_who_did_not_fit_into_one_transaction_has_the_next_at_once(
    codes: list[tuple[int, str | None]], *, at_once: bool
) -> None:
    said = [
        RecipientOutcome(
            address=f"r{n}@example.com",
            outcome="accepted" if code == 250 else "deferred",
            smtp_code=code,
            enhanced_status=status,
        )
        for n, (code, status) in enumerate(codes)
    ]
    assert concluded(Tried(ATTEMPT, LATER, ended_at=NOW), said).next_at == (NOW if at_once else LATER)


def test_the_next_attempt_is_for_those_who_are_still_owed_one() -> None:
    fact = concluded(TRIED, outcomes("accepted", "deferred", "bounced", "deferred"))
    following = next_attempt(ATTEMPT, fact)
    assert following == Attempt(EMAIL, 2, 3, "normal", LATER, NOW, 17, pending=("r1@example.com", "r3@example.com"))
    assert next_attempt(ATTEMPT, fact.model_dump(mode="json")) == following, "as read back from the log"


def test_the_next_attempt_is_made_where_the_email_belongs() -> None:
    moved = Attempt(EMAIL, 1, 3, "normal", NOW, NOW, 17, tried=(1, 2))
    fact = concluded(Tried(moved, LATER, home_id=1), outcomes("deferred"))
    assert (fact.provider_id, fact.next_provider_id) == (3, 1)
    following = next_attempt(moved, fact.model_dump(mode="json"))
    assert following is not None
    assert (following.number, following.provider_id, following.tried, following.pinned) == (2, 1, (), False)


@pytest.mark.parametrize("home_id", [3, None])
def test_it_stays_where_it_is_when_that_is_home_or_there_is_no_home(home_id: int | None) -> None:
    fact = concluded(Tried(ATTEMPT, LATER, home_id=home_id), outcomes("deferred"))
    assert fact.next_provider_id is None
    following = next_attempt(ATTEMPT, fact)
    assert following is not None
    assert following.provider_id == 3


def test_after_an_unknown_outcome_every_further_attempt_stays_with_that_provider() -> None:
    moved = Attempt(EMAIL, 1, 3, "normal", NOW, NOW, 17, tried=(1,))
    fact = unknown(Tried(moved, LATER, home_id=1), ["r0@example.com"], stage="final_dot", policy="retry", text="?")
    second = next_attempt(moved, fact)
    assert second is not None
    assert (second.provider_id, second.pinned, second.tried) == (3, True, ())
    deferred = concluded(Tried(second, LATER, home_id=1), outcomes("deferred"))
    third = next_attempt(second, deferred.model_dump(mode="json"))
    assert third is not None
    assert (third.provider_id, third.pinned) == (3, True)


def test_an_attempt_ends_at_the_provider_it_leaves() -> None:
    data = {"attempt": 1, "provider_id": 2, "from_provider_id": 1}
    assert (ended_at("rerouted", data), ended_at("sent", data)) == (1, 2)
    assert ended_at("sent", {"provider_id": 2}) is None
    assert ended_at("failed", {"attempt": 1, "provider_id": None}) is None


def test_a_finished_email_asks_for_nothing() -> None:
    assert next_attempt(ATTEMPT, concluded(TRIED, outcomes("accepted"))) is None


def test_an_unknown_outcome_is_everybodys() -> None:
    fact = unknown(TRIED, ["a@example.com", "b@example.com"], stage="final_dot", policy="retry", text="silence")
    assert isinstance(fact, EmailUnknown)
    assert (fact.next_at, fact.stage) == (LATER, "final_dot")
    following = next_attempt(ATTEMPT, fact)
    assert following is not None
    assert following.pending == ("a@example.com", "b@example.com")


def test_hold_waits_for_a_person() -> None:
    fact = unknown(TRIED, ["a@example.com"], stage="final_dot", policy="hold", text="silence")
    assert next_attempt(ATTEMPT, fact) is None


def test_an_unknown_outcome_after_the_last_try_is_the_end() -> None:
    fact = unknown(Tried(ATTEMPT, None), ["a@example.com"], stage="final_dot", policy="retry", text="silence")
    assert (fact.EVENT, fact.reason) == ("failed", "gave_up")


def test_everybody_gets_the_same_words_and_codes() -> None:
    (one,) = everybody(["a@example.com"], "deferred", "421 busy", smtp_code=421)
    assert (one.outcome, one.smtp_code, one.text) == ("deferred", 421, "421 busy")


def test_a_failure_says_why() -> None:
    fact = failed(TRIED, ["a@example.com"], reason="content_lost", text="lost")
    assert (fact.reason, fact.next_at, fact.recipients[0].outcome) == ("content_lost", None, "failed")
