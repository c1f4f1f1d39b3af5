"""Decides which waiting message may be handed to one provider now, within one worker. No I/O, no clock of its own.

A request waits here until it gets its `Turn`. `assign` gives out the turns that are due, first come first served.
`ProviderChannel` calls it whenever something happened, and at the time that `wake_at` names. What each request gets:

    provider                                  circuit                        a waiting request gets
    ----------------------------------------  -----------------------------  ------------------------------------------
 1  any, other workers have its connections   any                            TURNED_AWAY
 2  deleted                                   any                            ELSEWHERE
 3  any, and outcomes cannot be written now   any                            nothing: it waits
 4  inactive, stopped, halted, unsupported    any                            ELSEWHERE once another is open, or it waits
 5  usable                                    open, before its pause is over ELSEWHERE once another is open, or it waits
 6  usable                                    open, one message tries it out ELSEWHERE once another is open, or it waits
 7  usable                                    open, its pause is over        SEND for one, which tries it out
 8  usable                                    closed                         SEND when a connection is free and its rate
                                                                             allows another turn

*Halted* is a provider whose configuration was found at fault by a message of this worker: until `provider.stopped` is
here, no other email runs into the same wall. What a message learned of a provider counts only if the connection is
still the same (`connection_of`): new credentials start afresh.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from libs.common.facts.provider import ProviderState
from libs.common.relay.connection import connection_of, same_connection
from libs.common.relay.port import Trouble
from services.sender.channel.circuit_rules import Breaker
from services.sender.channel.rate_limit_rules import RateLimit
from services.sender.channel.share_rules import ALONE, Share
from services.sender.routing_rules import Closed, why_unusable

PROMISE = 5.0
"""Seconds between two messages of other providers that are invited to try this one out."""
LOOK = 1.0
"""Seconds after which who waits at a closed provider looks again whether another one is open."""


class Turn(Enum):
    """The answer to a request."""

    SEND = "send"
    """Hand the message over now; `ended` or `withdraw` gives the connection back."""
    ELSEWHERE = "elsewhere"
    """Not here: the provider is gone, or it is closed and another one is open."""
    TURNED_AWAY = "turned_away"
    """Not in this worker: the others have all connections that the provider allows."""


@dataclass(slots=True, eq=False)
class Request:
    """One message that wants to be handed over. `elsewhere` says whether another provider could send it now."""

    elsewhere: Callable[[], bool]
    turn: Turn | None = None
    connection: tuple[object, ...] = ()
    """The connection identity it was sent under: a result counts only while that is still the provider's."""
    tries_out: bool = False
    looked_at: float = float("-inf")


@dataclass(slots=True)
class Channel:
    """The state of one provider in one worker; times are seconds on the caller's monotonic clock.

    `connections` are those of all workers together, `provider` is None once it was deleted.
    """

    provider: ProviderState | None
    connections: int
    share: Share = ALONE
    breaker: Breaker = field(default_factory=Breaker)
    halted: str | None = None
    rate_limit: RateLimit = field(default_factory=RateLimit)
    out: int = 0
    """How many have the turn to send and have not ended."""
    _tried_out: bool = False
    _promised: float = 0.0
    _waiting: deque[Request] = field(default_factory=deque, repr=False)

    def __post_init__(self) -> None:
        self._divide()

    def configure(self, provider: ProviderState | None, connections: int, *, afresh: bool = False) -> bool:
        """Take over changed settings. True: whatever is connected is out of date, as with `afresh`."""
        before, self.provider = self.provider, provider
        same = provider is not None and before is not None and same_connection(before, provider)
        if same and connections == self.connections and not afresh:
            self._resume(before, provider)
            self._divide()
            return False
        self.connections = connections
        self._forget()
        self._divide()
        return True

    def take_share(self, share: Share) -> bool:
        """Use no more than this share from now on. Messages on their way finish first.

        True: idle connections have to go, because they count for the provider, too.
        """
        before, self.share = self.own_connections, share
        self._divide()
        return self.own_connections < before

    @property
    def own_connections(self) -> int:
        """How many of the connections are this worker's."""
        return self.share.connections(self.connections)

    def _divide(self) -> None:
        whole = self.provider.rate_limit_per_second if self.provider is not None else None
        self.rate_limit.per_second = self.share.rate(whole, self.connections)

    def _resume(self, before: ProviderState | None, provider: ProviderState | None) -> None:
        if before is None or provider is None or provider.stopped is not None:
            return
        # A stop and its end may have been read together: then only the time of the change tells of them.
        halted = self.halted is not None and before.updated_at != provider.updated_at
        if halted or before.stopped is not None:
            self._forget()

    def _forget(self) -> None:
        """Its settings changed: nothing is known of it any more."""
        self.breaker, self.halted, self._promised = Breaker(), None, 0.0

    # -------------------------------------------------------------------------------------------------------- turns

    def ask(self, elsewhere: Callable[[], bool]) -> Request:
        """Queue another message; it goes to the end of the line."""
        request = Request(elsewhere)
        self._waiting.append(request)
        return request

    def withdraw(self, request: Request) -> None:
        """Remove a request, waiting or sent, whose result says nothing about the provider."""
        if request.turn is None:
            self._waiting.remove(request)
        elif request.turn is Turn.SEND:
            self._leave(request)

    def assign(self, now: float, *, may_write: bool) -> list[Request]:
        """Give out the turns that are due. `may_write`: JetStream would take the outcome of a message now."""
        if self.share.goes_without(self.connections):
            return self._everybody(Turn.TURNED_AWAY)
        if self.provider is None:
            return self._everybody(Turn.ELSEWHERE)
        if not may_write:
            return []
        assigned = []
        while self._waiting and self._is_due(now):
            assigned.append(self._send(self._waiting.popleft(), self.provider, now))
        if self.closed(now) is not None:
            assigned += self._looked_around(now)
        return assigned

    def wake_at(self, now: float, *, may_write: bool) -> float | None:
        """When `assign` may have something to give out although nothing happens; None: not before something does."""
        if not self._waiting:
            return None
        if not may_write or self.closed(now) is not None:
            # The pause before it is tried out may be over sooner than that.
            over = self.breaker.until if self.breaker.is_open and self.breaker.until > now else now + LOOK
            return min(now + LOOK, over)
        return now + max(0.0, self.rate_limit.until_turn(now)) if self.out < self.own_connections else None

    def ended(self, request: Request, trouble: Trouble | None, seconds: float, now: float) -> None:
        """A hand-over ended after `seconds`; `trouble` is the provider's, None if there was none."""
        self._leave(request)
        if self.provider is None or request.connection != connection_of(self.provider):
            return
        if trouble is None:
            self.breaker = self.breaker.succeeded()
            self.rate_limit.speed_up(now)
        elif trouble.kind == "throttled":
            self.breaker = self.breaker.succeeded()
            self.rate_limit.slow_down(now)
        elif trouble.kind == "configuration":
            self.halted = trouble.text
        elif trouble.kind == "quota":
            self.breaker = self.breaker.exhausted(now, trouble.text)
        else:
            # Only silence counts as time lost: a relay that answered late did answer.
            silent = seconds if trouble.smtp_code is None else 0.0
            self.breaker = self.breaker.failed(now, trouble.text, seconds=silent)

    def _is_due(self, now: float) -> bool:
        free = self.out < self.own_connections
        return free and self.closed(now) is None and self.rate_limit.until_turn(now) <= 0

    def _send(self, request: Request, provider: ProviderState, now: float) -> Request:
        request.turn, request.connection = Turn.SEND, connection_of(provider)
        request.tries_out = self.breaker.is_open
        self._tried_out = self._tried_out or request.tries_out
        self.out += 1
        self.rate_limit.take(now)
        return request

    def _leave(self, request: Request) -> None:
        self.out -= 1
        if request.tries_out:
            self._tried_out = False

    def _everybody(self, turn: Turn) -> list[Request]:
        everybody = list(self._waiting)
        self._waiting.clear()
        for request in everybody:
            request.turn = turn
        return everybody

    def _looked_around(self, now: float) -> list[Request]:
        """Each looks once a second: with many in the row, looking at every call would be most of the work."""
        found = []
        for request in [each for each in self._waiting if now - each.looked_at >= LOOK]:
            request.looked_at = now
            if request.elsewhere():
                request.turn = Turn.ELSEWHERE
                self._waiting.remove(request)
                found.append(request)
        return found

    # -------------------------------------------------------------------------------------------------- what it is like

    def closed(self, now: float) -> Closed | None:
        """Why nothing is sent through it now; None when something is, be it only to try it out.

        What waits for a deleted provider is to be handed to another one, so that is not closed.
        """
        if self.provider is None:
            return None
        if self.halted is not None:
            return Closed("stopped", f"stopped: {self.halted}")
        why = why_unusable(self.provider)
        if why is None and self.breaker.is_open and (self._tried_out or now < self.breaker.until):
            return Closed("quota" if self.breaker.used_up else "circuit", self.breaker.reason)
        return why

    def available(self, now: float) -> bool:
        """True if this provider accepts other providers' mail now."""
        if self.provider is None or self.closed(now) is not None:
            return False
        return not self.breaker.is_open or now >= self._promised

    def invite(self, now: float) -> None:
        """Another provider's mail is coming here: while this one has to be tried out, one at a time."""
        if self.breaker.is_open:
            self._promised = now + PROMISE
