"""One worker's part of a provider's rate, turn by turn, and slower for a while after the provider said *too fast*."""

from dataclasses import dataclass

CATCH_UP = 0.005
"""Seconds: a timer that fires late by so much delays nobody after it. More would be a burst."""
SLOWEST = 0.1
"""Turns a second below which nobody is slowed down (unless the limit itself is lower)."""
ONCE_IN = 1.0
"""Seconds: connections that are told *too fast* together are told of one and the same thing."""
DOUBLES_IN = 20.0
"""Seconds of success in which a slowed pace doubles."""


@dataclass(slots=True)
class RateLimit:
    """Evenly spaced turns, at most `per_second` of them; None is no limit. Times are seconds on the caller's clock.

    No more than one turn per `1 / per_second` seconds, so there is never a burst, and rates below one a second work:
    0.2 is a turn each five seconds.
    """

    per_second: float | None = None
    _slowed: float | None = None
    """The pace after `slow_down`, until `speed_up` has made it as fast as it was."""
    _was: float = 0.0
    """The pace at which it was told to slow down."""
    _slowed_at: float = float("-inf")
    _sped_at: float = 0.0
    _last: float = float("-inf")
    _recent: tuple[float, int, int] = (0.0, 0, 0)
    """The second that is being counted, its turns so far, and those of the second before."""

    @property
    def rate(self) -> float | None:
        """Turns a second now, None when nothing limits them."""
        if self._slowed is None or self.per_second is None:
            return self.per_second if self._slowed is None else self._slowed
        return min(self.per_second, self._slowed)

    def until_turn(self, now: float) -> float:
        """Seconds until the next turn may be taken; nothing or less: now."""
        rate = self.rate
        return 0.0 if rate is None else self._last + 1 / rate - now

    def take(self, now: float) -> None:
        """A turn is taken."""
        rate = self.rate
        self._last = now if rate is None else max(now - CATCH_UP, min(self._last + 1 / rate, now))
        second, turns, before = self._recent
        if now - second < 1:
            self._recent = (second, turns + 1, before)
        else:
            self._recent = (now, 1, turns if now - second < 2 else 0)

    def slow_down(self, now: float) -> None:
        """The provider said that this was too fast: half as fast from now on (counted at most once a second)."""
        if now - self._slowed_at < ONCE_IN:
            return
        rate_limit = self.rate or max(float(self._lately(now)), 2 * SLOWEST)
        if self._slowed is None:
            self._was = rate_limit
        self._slowed = max(rate_limit / 2, min(SLOWEST, rate_limit))
        self._slowed_at = self._sped_at = now

    def speed_up(self, now: float) -> None:
        """The provider took a message: a little faster again, until it is as fast as before."""
        if self._slowed is None:
            return
        self._slowed *= 2 ** ((now - self._sped_at) / DOUBLES_IN)
        self._sped_at = now
        # Without a limit of its own it is let go at four times the pace at which it had been too much.
        if self._slowed >= (self.per_second if self.per_second is not None else 4 * self._was):
            self._slowed = None

    def _lately(self, now: float) -> int:
        second, turns, before = self._recent
        return max(turns, before) if now - second < 2 else 0
