"""Guessing passwords gets slower with every miss: per account and per address."""

from dataclasses import dataclass, field

_FREE = 5
_FIRST = 1.0
_LONGEST = 60.0
_FORGOTTEN_AFTER = 900.0
_MOST = 10_000


@dataclass(slots=True)
class Throttle:
    """Five misses are free; each further one doubles the wait, from a second to a minute.

    Not longer: anybody may miss in another's name, and must not be able to lock them out.
    """

    _misses: dict[str, tuple[int, float]] = field(default_factory=dict)

    def wait(self, names: tuple[str, ...], now: float) -> float:
        """Seconds until the next try is looked at; 0 when it is at once. `now` is monotonic seconds."""
        return max((self._wait(name, now) for name in names), default=0.0)

    def missed(self, names: tuple[str, ...], now: float) -> None:
        """A wrong password for this account from this address."""
        for name in names:
            count, at = self._misses.get(name, (0, now))
            if now - at > _FORGOTTEN_AFTER:
                count = 0
            if name not in self._misses and len(self._misses) >= _MOST:
                self._misses.pop(next(iter(self._misses)))
            self._misses.pop(name, None)
            self._misses[name] = (count + 1, now)

    def matched(self, account: str, address: str) -> None:
        """The right password: the account starts anew, the address only gets back what this try was counted."""
        self._misses.pop(account, None)
        count, at = self._misses.get(address, (0, 0.0))
        if count:
            self._misses[address] = (count - 1, at)

    def _wait(self, name: str, now: float) -> float:
        count, at = self._misses.get(name, (0, now))
        if count < _FREE:
            return 0.0
        return max(0.0, at + min(_FIRST * 2.0 ** (count - _FREE), _LONGEST) - now)
