"""What is owed after any facts of an email: which attempt, where, and whether it may go elsewhere."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from libs.common.facts import Envelope, timestamp
from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.owed_fold import Owed, fold, overdue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EMAIL = UUID("019b7600-0000-7000-8000-0000000000ab")


def fact(event: str, minute: int, **data: Any) -> Envelope:
    at = timestamp(NOW + timedelta(minutes=minute))
    data = {"email_id": str(EMAIL), **data}
    return Envelope(f"{minute}", "s", f"email.{event}.v1", f"email/{EMAIL}", at, data, sequence=minute + 1)


def said(outcome: str) -> list[dict[str, str]]:
    return [{"address": "ada@example.com", "outcome": outcome}]


ACCEPTED = fact("accepted", 0, provider_id=1, lane="normal")
MOVED = fact("rerouted", 1, attempt=1, from_provider_id=1, provider_id=2, tried=[1])
MOVED_ON = fact("rerouted", 2, attempt=1, from_provider_id=2, provider_id=3, tried=[1, 2])
LATER = timestamp(NOW + timedelta(minutes=30))


def owed(*facts: Envelope) -> Attempt | None:
    found: Owed = {}
    fold(found, facts)
    return found.get(EMAIL)


def test_a_moved_attempt_is_owed_where_it_went() -> None:
    attempt = owed(ACCEPTED, MOVED)
    assert attempt == Attempt(EMAIL, 1, 2, "normal", NOW + timedelta(minutes=1), NOW, 1, tried=(1,))
    attempt = owed(ACCEPTED, MOVED, MOVED_ON)
    assert attempt is not None
    assert (attempt.provider_id, attempt.tried) == (3, (1, 2))


def test_a_move_that_is_read_alone_is_still_the_attempts_own() -> None:
    attempt = owed(ACCEPTED, MOVED_ON)
    assert attempt is not None
    assert (attempt.provider_id, attempt.tried) == (3, (1, 2))


def test_a_move_that_an_older_version_wrote_has_been_where_it_came_from() -> None:
    old = fact("rerouted", 1, attempt=1, from_provider_id=1, provider_id=2)
    attempt = owed(ACCEPTED, old)
    assert attempt is not None
    assert attempt.tried == (1,)


def test_after_a_deferral_at_the_fallback_it_is_owed_at_home_and_has_been_nowhere() -> None:
    deferred = fact(
        "deferred", 2, attempt=1, provider_id=2, next_provider_id=1, next_at=LATER, recipients=said("deferred")
    )
    attempt = owed(ACCEPTED, MOVED, deferred)
    assert attempt is not None
    assert (attempt.number, attempt.provider_id, attempt.tried, attempt.pinned) == (2, 1, (), False)
    again = fact("rerouted", 31, attempt=2, from_provider_id=1, provider_id=2, tried=[1])
    attempt = owed(ACCEPTED, MOVED, deferred, again)
    assert attempt is not None
    assert (attempt.number, attempt.provider_id, attempt.pending) == (2, 2, ("ada@example.com",))


def test_after_an_unknown_outcome_it_is_owed_where_it_was_and_stays_there() -> None:
    unknown = fact("unknown", 2, attempt=1, provider_id=2, next_at=LATER, recipients=said("unknown"))
    attempt = owed(ACCEPTED, MOVED, unknown)
    assert attempt is not None
    assert (attempt.number, attempt.provider_id, attempt.pinned) == (2, 2, True)
    deferred = fact("deferred", 31, attempt=2, provider_id=2, next_at=LATER, recipients=said("deferred"))
    attempt = owed(ACCEPTED, MOVED, unknown, deferred)
    assert attempt is not None
    assert (attempt.number, attempt.pinned) == (3, True)


@pytest.mark.parametrize("event", ["sent", "failed", "bounced"])
def test_a_last_word_at_the_fallback_ends_it(event: str) -> None:
    last = fact(event, 2, attempt=1, provider_id=2, next_at=None, recipients=said("accepted"))
    assert owed(ACCEPTED, MOVED, last) is None


def test_a_move_of_an_attempt_that_is_history_changes_nothing() -> None:
    deferred = fact(
        "deferred", 2, attempt=1, provider_id=2, next_provider_id=1, next_at=LATER, recipients=said("deferred")
    )
    attempt = owed(ACCEPTED, MOVED, deferred, MOVED)
    assert attempt is not None
    assert (attempt.number, attempt.provider_id) == (2, 1)


def test_what_became_due_by_its_move_is_overdue_from_then_on() -> None:
    found: Owed = {}
    fold(found, [ACCEPTED, MOVED])
    assert overdue(found, NOW + timedelta(seconds=30)) == []
    assert len(overdue(found, NOW + timedelta(minutes=2))) == 1
