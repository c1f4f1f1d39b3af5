"""A token bucket per caller (RFC 2697 has the picture): so many at once, then so many a second."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenBuckets:
    """`per_second` tokens come back each second, up to `burst`; times are seconds on the caller's monotonic clock.

    Memory is bounded: the `remembered` callers seen last have a bucket. A forgotten one has a full bucket again, which
    errs on the side of letting it pass.
    """

    per_second: float
    burst: float
    remembered: int
    _buckets: OrderedDict[Hashable, tuple[float, float]] = field(default_factory=OrderedDict, repr=False)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, caller: Hashable, now: float) -> tuple[bool, float]:
        """Take a token: True if the caller had one, and how many are left (below one if it had none)."""
        tokens, at = self._buckets.pop(caller, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.per_second)
        passes = tokens >= 1
        tokens -= passes
        self._buckets[caller] = (tokens, now)
        while len(self._buckets) > self.remembered:
            self._buckets.popitem(last=False)
        return passes, tokens
