"""How much one visitor, and one email, may put into the log; beyond that hits are only counted.

Memory is bounded: the visitors and emails seen last are remembered. A forgotten one starts afresh, which errs on
the side of recording; the per-email limit is enforced once more where hits are read.
"""

from collections import OrderedDict

from libs.common.token_buckets import TokenBuckets

PER_SECOND = 100.0
BURST = 1_000.0
PER_EMAIL = 1_000
_REMEMBERED = 50_000


class VisitorLimit:
    """Hits of each address: `burst` at once, then `per_second`."""

    def __init__(self, per_second: float = PER_SECOND, burst: float = BURST, remembered: int = _REMEMBERED) -> None:
        self._buckets = TokenBuckets(per_second, burst, remembered)

    def admits(self, visitor: str, now: float) -> bool:
        """Take a token. `now` is a monotonic time in seconds."""
        passes, _ = self._buckets.take(visitor, now)
        return passes


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
