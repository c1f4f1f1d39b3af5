"""What the queue hands out, read back as it was written."""

from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest

from libs.common.facts import Envelope
from services.sender.deliver.attempt_rules import (
    Attempt,
    NotAnAttempt,
    first_attempt,
    queue_position,
    scheduled_attempt,
    source_sequence,
)

NOW = datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)
EMAIL = UUID("019b7600-0000-7000-8000-0000000000ab")


@pytest.mark.parametrize("pending", [None, ("a@example.com",), ()])
def test_a_schedule_says_all_that_the_attempt_needs(pending: tuple[str, ...] | None) -> None:
    attempt = Attempt(EMAIL, 3, 7, "normal", NOW, NOW, 42, pending)
    body = orjson.loads(orjson.dumps(attempt.body()))
    assert scheduled_attempt(body, provider_id=7, lane="normal") == attempt


def test_where_it_has_been_and_that_it_has_to_stay_are_part_of_it() -> None:
    attempt = Attempt(EMAIL, 3, 7, "normal", NOW, NOW, 42, ("a@example.com",), tried=(1, 4), pinned=True)
    body = orjson.loads(orjson.dumps(attempt.body()))
    assert scheduled_attempt(body, provider_id=7, lane="normal") == attempt


def test_a_schedule_that_an_older_version_wrote_has_been_nowhere_and_may_go_anywhere() -> None:
    body = {
        name: value
        for name, value in Attempt(EMAIL, 3, 7, "normal", NOW, NOW, 42, None).body().items()
        if name not in ("tried", "pinned")
    }
    attempt = scheduled_attempt(body, provider_id=7, lane="normal")
    assert (attempt.tried, attempt.pinned) == ((), False)


@pytest.mark.parametrize(("written", "tried"), [({"tried": [5, 7]}, (5, 7)), ({}, (7,)), ({"tried": []}, (7,))])
def test_a_moved_attempt_is_the_same_whenever_the_fact_is_read(
    written: dict[str, list[int]], tried: tuple[int, ...]
) -> None:
    data = {"email_id": str(EMAIL), "attempt": 3, "from_provider_id": 7, "provider_id": 9, **written}
    fact = Envelope("1", "s", "email.rerouted.v1", f"email/{EMAIL}", "2026-01-01T13:00:00.000001Z", data)
    attempt = Attempt(EMAIL, 3, 7, "normal", NOW, NOW, 42, ("a@example.com",))
    moved = attempt.moved(fact)
    assert (moved.number, moved.provider_id, moved.tried, moved.pending) == (3, 9, tried, attempt.pending)
    assert moved.due_at == fact.at


def test_the_accepted_fact_is_the_first_attempt() -> None:
    fact = Envelope(
        "1",
        "/services/sender",
        "email.accepted.v1",
        f"email/{EMAIL}",
        "2026-01-01T12:30:00.123456Z",
        {"email_id": str(EMAIL)},
        sequence=9,
    )
    attempt = first_attempt(fact, provider_id=1, lane="normal")
    assert attempt == Attempt(EMAIL, 1, 1, "normal", NOW, NOW, 9, None)


def test_the_log_sequence_stands_in_the_header_that_the_server_writes() -> None:
    header = "MAIL_EVENTS 5123 mail.email.*.accepted.*.* queue.ready.x mail.email.0a.accepted.3.normal 54pxC9xr"
    assert source_sequence(header) == 5123
    assert source_sequence(header.replace("MAIL_EVENTS", "MAIL_SCHEDULE")) == 0
    assert source_sequence("") == 0


def test_provider_and_lane_stand_in_the_subject() -> None:
    assert queue_position("queue.ready.12.high") == (12, "high")


@pytest.mark.parametrize("body", [{}, {"email_id": "x"}, [], {"email_id": str(EMAIL), "pending": 1}])
def test_anything_else_is_no_attempt(body: object) -> None:
    with pytest.raises(NotAnAttempt):
        scheduled_attempt(body, provider_id=1, lane="normal")  # type: ignore[arg-type]  # what may be on a queue


@pytest.mark.parametrize("subject", ["queue.ready.x.normal", "queue.ready.1", "other"])
def test_a_strange_subject_is_refused(subject: str) -> None:
    with pytest.raises(NotAnAttempt):
        queue_position(subject)
