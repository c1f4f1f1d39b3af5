"""Guessing passwords gets slower with every miss, and nobody is kept out by the guesses of others.

    who misses                      free   then            at most   which means
    one account from one address       5   1 s, doubling      60 s   429 with Retry-After
    one address, any account          20   1 s, doubling      60 s   429 with Retry-After
    one account, any address          10   0.1 s, doubling     3 s   the password is looked at that much later

Somebody who guesses from one address is stopped there. Somebody who guesses from many slows the account's owner down by
three seconds, no more: a refusal would let anybody lock anybody out. An IPv6 address counts by its /64, which is what
one customer has.
"""

from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

_FORGOTTEN_AFTER_SECONDS = 900.0
_MOST_NAMES = 30_000


@dataclass(frozen=True, slots=True)
class Rule:
    """`free` misses cost nothing; each further one doubles the wait, from `first` to `longest` seconds."""

    free: int
    first: float
    longest: float

    def wait(self, misses: int) -> float:
        """Seconds after the last of so many misses."""
        return 0.0 if misses < self.free else min(self.first * 2.0 ** min(misses - self.free, 30), self.longest)


PAIR = Rule(free=5, first=1.0, longest=60.0)
ADDRESS = Rule(free=20, first=1.0, longest=60.0)
ACCOUNT = Rule(free=10, first=0.1, longest=3.0)


@dataclass(frozen=True, slots=True)
class Caller:
    """A login attempt: the account's address in lower case, and the client's network."""

    account: str
    network: str

    @property
    def rules(self) -> dict[tuple[str, ...], Rule]:
        """The names under which a miss is counted, with the rule of each."""
        return {("pair", self.account, self.network): PAIR, ("address", self.network): ADDRESS, self.soft: ACCOUNT}

    @property
    def soft(self) -> tuple[str, ...]:
        """The name that never refuses."""
        return ("account", self.account)


def caller_from(email: str, ip: str | None) -> Caller:
    """The attempt made by this address from this client."""
    network = ip or "unknown"
    try:
        address = ip_address(network)
    except ValueError:
        return Caller(email.strip().lower(), network)
    if isinstance(address, IPv6Address):
        network = str(IPv6Address(int(address) >> 64 << 64)) + "/64"
    return Caller(email.strip().lower(), network)


@dataclass(slots=True)
class Throttle:
    """Failed logins of the last 15 minutes. Times are monotonic seconds."""

    _misses: dict[tuple[str, ...], tuple[int, float]] = field(default_factory=dict)

    def refused_for(self, caller: Caller, now: float) -> float:
        """Seconds until the caller's next try is looked at; 0 when it is at once."""
        soft = caller.soft
        return max(self._left(name, rule, now) for name, rule in caller.rules.items() if name != soft)

    def delay(self, caller: Caller, now: float) -> float:
        """Seconds by which this try is looked at later, because others may be guessing this account's password."""
        count, at = self._misses.get(caller.soft, (0, now))
        return ACCOUNT.wait(count) if now - at <= _FORGOTTEN_AFTER_SECONDS else 0.0

    def missed(self, caller: Caller, now: float) -> None:
        """A wrong password."""
        for name in caller.rules:
            count, at = self._misses.pop(name, (0, now))
            if now - at > _FORGOTTEN_AFTER_SECONDS:
                count = 0
            if len(self._misses) >= _MOST_NAMES:
                self._misses.pop(next(iter(self._misses)))
            self._misses[name] = (count + 1, now)

    def matched(self, caller: Caller) -> None:
        """The right password: pair and account start anew, the address gets back what this try was counted."""
        for name in caller.rules:
            count, at = self._misses.pop(name, (0, 0.0))
            if name[0] == "address" and count > 1:
                self._misses[name] = (count - 1, at)

    def _left(self, name: tuple[str, ...], rule: Rule, now: float) -> float:
        count, at = self._misses.get(name, (0, now))
        return max(0.0, at + rule.wait(count) - now)
