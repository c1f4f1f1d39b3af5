"""How many may be on their way to a provider at once: a limit that can be changed while they are."""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from services.sender.ports import NoSlotsError


@dataclass(slots=True)
class Slots:
    """First come, first served. After a smaller limit nobody is let in until enough have left."""

    limit: int
    taken: int = 0
    turned_away: bool = False
    """Nobody is to wait here."""
    _waiting: deque[asyncio.Future[None]] = field(default_factory=deque, repr=False)

    @property
    def within(self) -> bool:
        """Whether no more are in than the limit allows now."""
        return self.taken <= self.limit

    async def acquire(self) -> None:
        """Wait for a place and take it. Raises NoSlotsError."""
        if self.turned_away:
            raise NoSlotsError
        if self.taken < self.limit and not self._waiting:
            self.taken += 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.release()
            raise

    def release(self) -> None:
        """Leave; whoever waits longest comes in, if the limit allows it."""
        self.taken -= 1
        self._let_in()

    def resize(self, limit: int, *, turn_away: bool = False) -> None:
        """Change the limit; with `turn_away` whoever waits, now or later, gets NoSlotsError."""
        self.limit, self.turned_away = limit, turn_away
        while turn_away and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(NoSlotsError())
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self.taken < self.limit:
            place = self._waiting.popleft()
            if not place.done():
                self.taken += 1
                place.set_result(None)
