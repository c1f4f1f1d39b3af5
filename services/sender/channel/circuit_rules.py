"""When a provider cannot send, its mail waits or goes elsewhere: not every queued email has to find out for itself."""

from dataclasses import dataclass

FAILURES = 5
"""In a row, before the circuit opens."""
SLOW_SECONDS = 5.0
"""A failure that took this long opens it at once: silence costs every further email as much again."""
FIRST_PAUSE = 5.0
LONGEST_PAUSE = 120.0
"""Seconds. One email tries after each pause; its success lets the others follow."""
QUOTA_PAUSE = 600.0
LONGEST_QUOTA_PAUSE = 3_600.0
"""A daily quota recovers over hours, not seconds."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """`until` is when the next try is allowed, on the clock that its user passes in; `why` is the last trouble's text.

    `used_up`: it is open because the provider's quota is used up.
    """

    failures: int = 0
    pause: float = 0.0
    until: float = 0.0
    used_up: bool = False
    tripped: bool = False
    why: str = ""

    @property
    def is_open(self) -> bool:
        """True if only one message at a time may try, and not before `until`."""
        return self.tripped

    @property
    def reason(self) -> str:
        """In words, for whoever asks why an email went elsewhere."""
        if self.used_up:
            return f"its quota is used up: {self.why}"
        return f"circuit open after {self.failures} failure{'s' if self.failures != 1 else ''}: {self.why}"

    def failed(self, now: float, why: str = "", *, seconds: float = 0.0) -> "Breaker":
        """One more could not reach the provider, which took so many seconds to find out."""
        if self.tripped and now < self.until:
            # Sent off before the circuit opened: no news.
            return self
        failures = self.failures + 1
        if failures < FAILURES and seconds < SLOW_SECONDS and not self.tripped:
            return Breaker(failures, why=why)
        pause = min(2 * self.pause, LONGEST_PAUSE) if self.tripped and not self.used_up else FIRST_PAUSE
        return Breaker(failures, pause, now + pause, tripped=True, why=why)

    def exhausted(self, now: float, why: str = "") -> "Breaker":
        """The provider takes nothing more for now: its quota is used up."""
        if self.used_up and now < self.until:
            return self
        pause = min(2 * self.pause, LONGEST_QUOTA_PAUSE) if self.used_up else QUOTA_PAUSE
        return Breaker(self.failures, pause, now + pause, used_up=True, tripped=True, why=why)

    def succeeded(self) -> "Breaker":
        """The provider was reached."""
        return Breaker() if self.failures or self.tripped else self
