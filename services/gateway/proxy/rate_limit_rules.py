"""How often one key may knock: a token bucket each (draft-ietf-httpapi-ratelimit-headers' three plain fields)."""

import math
from collections.abc import Hashable
from dataclasses import dataclass

from libs.common.token_buckets import TokenBuckets

_REMEMBERED = 10_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """The verdict for the caller, in whole seconds. `retry_after` is 0 if the request may pass."""

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


class RateLimit:
    """`per_second` requests of each caller; the burst is one second's worth, at least one."""

    def __init__(self, per_second: float, remembered: int = _REMEMBERED) -> None:
        self.per_second, self._burst = per_second, max(1, math.ceil(per_second))
        self._buckets = TokenBuckets(per_second, self._burst, remembered)

    def take(self, caller: Hashable, now: float) -> Allowance:
        """Take a token of the caller's at `now` (monotonic seconds)."""
        passes, tokens = self._buckets.take(caller, now)
        wait = 0 if passes else max(1, math.ceil((1 - tokens) / self.per_second))
        until_full = math.ceil((self._burst - tokens) / self.per_second)
        return Allowance(self._burst, int(tokens), until_full, wait)
