"""When a provider cannot be reached, its mail waits: not every queued email has to find that out for itself."""

from dataclasses import dataclass

FAILURES = 5
"""In a row, before the circuit opens."""
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 120.0
"""Seconds. One email tries after each pause; its success lets the others follow."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """`until` is when the next try is allowed, on the clock that its user passes in."""

    failures: int = 0
    pause: float = 0.0
    until: float = 0.0

    @property
    def is_open(self) -> bool:
        """Whether only one at a time may try, and not before `until`."""
        return self.failures >= FAILURES

    def failed(self, now: float) -> "Breaker":
        """One more could not reach the provider."""
        failures = self.failures + 1
        if failures < FAILURES:
            return Breaker(failures)
        if self.is_open and now < self.until:
            # Sent off before the circuit opened: no news.
            return self
        pause = min(2 * self.pause, LONGEST_PAUSE) if self.pause else FIRST_PAUSE
        return Breaker(failures, pause, now + pause)

    def succeeded(self) -> "Breaker":
        """The provider was reached."""
        return Breaker() if self.failures else self
