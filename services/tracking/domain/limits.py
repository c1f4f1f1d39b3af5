"""How much one visitor, and one email, may put into the log; beyond that hits are only counted.

Memory is bounded: the visitors and emails seen last are remembered. A forgotten one starts afresh, which errs on
the side of recording; the per-email limit is enforced once more where hits are read.
"""

from collections import OrderedDict

PER_SECOND = 100.0
BURST = 1_000.0
PER_EMAIL = 1_000
_REMEMBERED = 50_000


class VisitorLimit:
    """A token bucket per address (RFC 2697 has the picture): `burst` at once, then `per_second`."""

    def __init__(self, per_second: float = PER_SECOND, burst: float = BURST, remembered: int = _REMEMBERED) -> None:
        self._rate, self._burst, self._remembered = per_second, burst, remembered
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, visitor: str, now: float) -> bool:
        """Take a token. `now` is a monotonic time in seconds."""
        left, since = self._buckets.pop(visitor, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._rate)
        admitted = left >= 1
        self._buckets[visitor] = (left - 1 if admitted else left, now)
        while len(self._buckets) > self._remembered:
            self._buckets.popitem(last=False)
        return admitted


class EmailLimit:
    """How many hits of an email this process has recorded."""

    def __init__(self, per_email: int = PER_EMAIL, remembered: int = _REMEMBERED) -> None:
        self._limit, self._remembered = per_email, remembered
        self._counts: OrderedDict[int, int] = OrderedDict()

    def admits(self, email: int) -> bool:
        """Count one more, if there is room. `email` is the id as a number."""
        count = self._counts.pop(email, 0)
        admitted = count < self._limit
        self._counts[email] = count + 1 if admitted else count
        while len(self._counts) > self._remembered:
            self._counts.popitem(last=False)
        return admitted

    def returned(self, email: int) -> None:
        """A hit that had been counted was not recorded now; it will come again."""
        if self._counts.get(email, 0) > 0:
            self._counts[email] -= 1
