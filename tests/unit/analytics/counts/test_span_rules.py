from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.analytics.counts.span_rules import DAY, EARLIEST, EVERYTHING, HOUR, LATEST, spans

AT = datetime(2026, 3, 1, 8, 20, tzinfo=UTC)
TIMES = st.datetimes(datetime(2026, 1, 1), datetime(2026, 2, 15), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds it


def _holds(pieces: list[tuple[datetime, datetime]], at: datetime) -> int:
    return sum(1 for since, until in pieces if since <= at < until)


def _pieces(since: datetime | None, until: datetime | None) -> list[tuple[datetime, datetime]]:
    found = spans(since, until)
    return [*((part.since, part.until) for part in found.counted), *found.ends]


def test_no_bounds_mean_the_counters_of_everything() -> None:
    assert spans(None, None) is EVERYTHING


@given(TIMES, TIMES, TIMES)
def test_every_moment_inside_is_covered_once_and_no_other(since: datetime, until: datetime, at: datetime) -> None:
    pieces = _pieces(since, until)
    assert _holds(pieces, at) == (1 if since <= at < until else 0)
    for edge in (since, until):
        assert _holds(pieces, edge) == (1 if since <= edge < until else 0)


@given(TIMES, TIMES)
def test_counters_are_asked_for_whole_hours_and_days_only(since: datetime, until: datetime) -> None:
    found = spans(since, until)
    for part in found.counted:
        unit = {"hour": HOUR, "day": DAY}[part.tier]
        assert (part.since - EARLIEST) % unit == (part.until - EARLIEST) % unit == timedelta()
    assert len(found.counted) <= 3
    assert sum((end - start for start, end in found.ends), timedelta()) < 2 * HOUR


@given(TIMES)
def test_an_open_end_is_as_good_as_one_far_away(at: datetime) -> None:
    assert spans(at, None) == spans(at, LATEST)
    assert spans(None, at) == spans(EARLIEST, at)


@pytest.mark.parametrize(
    ("since", "until"),
    [
        (datetime.max.replace(tzinfo=UTC), None),
        (datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))), None),
        (None, datetime.min.replace(tzinfo=UTC)),
        (None, datetime.min.replace(tzinfo=timezone(timedelta(hours=14)))),
        (AT, AT),
        (AT, AT - HOUR),
    ],
)
def test_a_stretch_without_time_is_empty_however_far_away(since: datetime | None, until: datetime | None) -> None:
    assert _pieces(since, until) == []
