"""How often one key may knock: a token bucket each (draft-ietf-httpapi-ratelimit-headers' three plain fields)."""

import math
from collections.abc import Hashable
from dataclasses import dataclass, field

_MOST_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is said to the caller. `retry_after` is 0 when the request may pass; times are whole seconds."""

    limit: int
    remaining: int
    reset: int
    retry_after: int

    def headers(self) -> list[tuple[bytes, bytes]]:
        """RateLimit-Limit, -Remaining, -Reset."""
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset),
        ]


@dataclass(slots=True)
class RateLimit:
    """`per_second` tokens come back each second, up to `burst` (one second's worth, at least one)."""

    per_second: float
    burst: int = 0
    _buckets: dict[Hashable, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The burst follows from the rate unless it is given."""
        self.burst = self.burst or max(1, math.ceil(self.per_second))

    def take(self, caller: Hashable, now: float) -> Allowance:
        """Take a token of the caller's at `now` (monotonic seconds)."""
        tokens, at = self._buckets.get(caller, (float(self.burst), now))
        tokens = min(self.burst, tokens + (now - at) * self.per_second)
        passes = tokens >= 1
        tokens -= passes
        if len(self._buckets) >= _MOST_BUCKETS and caller not in self._buckets:
            self._forget_full(now)
        self._buckets[caller] = (tokens, now)
        wait = 0 if passes else max(1, math.ceil((1 - tokens) / self.per_second))
        until_full = math.ceil((self.burst - tokens) / self.per_second)
        return Allowance(self.burst, int(tokens), until_full, wait)

    def _forget_full(self, now: float) -> None:
        """Buckets that are full again say nothing; should all be in use, the oldest go."""
        until_full = self.burst / self.per_second
        self._buckets = {who: bucket for who, bucket in self._buckets.items() if now - bucket[1] < until_full}
        for who in list(self._buckets)[: max(0, len(self._buckets) - _MOST_BUCKETS + 1)]:
            del self._buckets[who]
