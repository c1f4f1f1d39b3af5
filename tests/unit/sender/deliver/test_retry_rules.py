"""The retry schedule: soon at first, spread, and over after two days."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.sender.deliver.retry_rules import GIVE_UP_AFTER, JITTER, delay_after, next_attempt_at

ACCEPTED = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
EMAIL = UUID("0194b8a2-7d3f-7aaa-8bbb-000000000001")


def failing_always(email_id: UUID, *, takes: timedelta = timedelta()) -> Iterator[datetime]:
    """The times of all attempts but the first of an email that is never accepted."""
    now, attempt = ACCEPTED, 1
    while (at := next_attempt_at(accepted_at=ACCEPTED, attempt=attempt, now=now, email_id=email_id)) is not None:
        yield at
        now, attempt = at + takes, attempt + 1


@pytest.mark.parametrize(
    ("attempt", "seconds"),
    [(1, 30), (2, 120), (3, 600), (4, 1800), (5, 3600), (6, 7200), (7, 14400), (8, 21600), (9, 21600), (50, 21600)],
)
def test_the_waits_grow_to_six_hours(attempt: int, seconds: int) -> None:
    assert delay_after(attempt) == timedelta(seconds=seconds)


@given(email_id=st.uuids(), attempt=st.integers(1, 20))
def test_a_retry_comes_within_a_fifth_of_its_wait(email_id: UUID, attempt: int) -> None:
    at = next_attempt_at(accepted_at=ACCEPTED, attempt=attempt, now=ACCEPTED, email_id=email_id)
    assert at is not None
    ratio = (at - ACCEPTED) / delay_after(attempt)
    assert 1 - JITTER - 1e-6 <= ratio <= 1 + JITTER + 1e-6


@given(email_id=st.uuids(), attempt=st.integers(1, 20))
def test_the_same_attempt_is_always_given_the_same_time(email_id: UUID, attempt: int) -> None:
    first = next_attempt_at(accepted_at=ACCEPTED, attempt=attempt, now=ACCEPTED, email_id=email_id)
    assert first == next_attempt_at(accepted_at=ACCEPTED, attempt=attempt, now=ACCEPTED, email_id=email_id)


def test_emails_that_failed_together_are_spread_over_the_whole_width() -> None:
    emails = [UUID(int=n) for n in range(2000)]
    waits = [
        (next_attempt_at(accepted_at=ACCEPTED, attempt=5, now=ACCEPTED, email_id=email) or ACCEPTED) - ACCEPTED
        for email in emails
    ]
    ratios = sorted(wait / delay_after(5) for wait in waits)
    assert len(set(ratios)) == len(emails)
    assert ratios[0] < 1 - 0.95 * JITTER
    assert ratios[-1] > 1 + 0.95 * JITTER
    assert abs(sum(ratios) / len(ratios) - 1) < 0.01


def test_the_attempts_of_one_email_do_not_share_their_spread() -> None:
    ratios = {
        ((next_attempt_at(accepted_at=ACCEPTED, attempt=n, now=ACCEPTED, email_id=EMAIL) or ACCEPTED) - ACCEPTED)
        / delay_after(n)
        for n in range(1, 8)
    }
    assert len(ratios) == 7


@given(email_id=st.uuids(), takes=st.timedeltas(timedelta(), timedelta(hours=1)))
def test_an_email_is_never_tried_later_than_two_days_after_it_was_accepted(email_id: UUID, takes: timedelta) -> None:
    times = list(failing_always(email_id, takes=takes))
    assert times == sorted(times)
    assert times[-1] <= ACCEPTED + GIVE_UP_AFTER
    assert 10 <= len(times) <= 16


@given(email_id=st.uuids())
def test_an_email_is_still_tried_on_its_second_day(email_id: UUID) -> None:
    assert max(failing_always(email_id)) > ACCEPTED + timedelta(hours=36)


@given(email_id=st.uuids(), attempt=st.integers(1, 20), late=st.timedeltas(timedelta(), timedelta(days=30)))
def test_after_two_days_every_email_is_given_up(email_id: UUID, attempt: int, late: timedelta) -> None:
    now = ACCEPTED + GIVE_UP_AFTER + late
    assert next_attempt_at(accepted_at=ACCEPTED, attempt=attempt, now=now, email_id=email_id) is None


def test_there_is_no_attempt_before_the_first() -> None:
    with pytest.raises(ValueError, match="from 1"):
        next_attempt_at(accepted_at=ACCEPTED, attempt=0, now=ACCEPTED, email_id=EMAIL)
