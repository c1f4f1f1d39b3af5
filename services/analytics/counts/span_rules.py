"""How a stretch of time is made up of whole days and hours, which are counted already, and two short ends.

So a question about any stretch reads a bounded number of counters, and looks at single rows only inside the first and
the last hour.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

# Facts are younger and older than these; inside them no sum of ours leaves datetime's range.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Counted:
    """Counters of `tier` whose start is at least `since` and before `until`."""

    tier: str
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Spans:
    """`counted` and `ends` cover the stretch without overlap; an end is `since` ≤ time < `until`."""

    counted: tuple[Counted, ...]
    ends: tuple[tuple[datetime, datetime], ...]


EVERYTHING = Spans((Counted("all", datetime.min.replace(tzinfo=UTC), LATEST),), ())


def spans(since: datetime | None, until: datetime | None) -> Spans:
    """`since` ≤ time < `until`, both aware; None is no bound."""
    if since is None and until is None:
        return EVERYTHING
    start = max(since or EARLIEST, EARLIEST)
    end = min(until or LATEST, LATEST)
    if end <= start:
        return Spans((), ())
    first_hour, last_hour = _ceil(start, HOUR), _floor(end, HOUR)
    if first_hour >= last_hour:
        return Spans((), ((start, end),))
    ends = tuple((a, b) for a, b in ((start, first_hour), (last_hour, end)) if a < b)
    first_day, last_day = _ceil(first_hour, DAY), _floor(last_hour, DAY)
    if first_day >= last_day:
        return Spans((Counted("hour", first_hour, last_hour),), ends)
    counted = (
        Counted("hour", first_hour, first_day),
        Counted("day", first_day, last_day),
        Counted("hour", last_day, last_hour),
    )
    return Spans(tuple(part for part in counted if part.since < part.until), ends)


def _floor(at: datetime, unit: timedelta) -> datetime:
    return at - (at - EARLIEST) % unit


def _ceil(at: datetime, unit: timedelta) -> datetime:
    return _floor(at + unit - timedelta(microseconds=1), unit)
