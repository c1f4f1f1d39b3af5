"""How full the log is: nothing is accepted at 90 %, and nothing is sent at 97 % (docs/reliability.md).

An outcome that cannot be written would be sent again: so accepting stops long before sending has to.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import CONTENT, EVENTS, SCHEDULE

log = logging.getLogger(__name__)

ACCEPT_BELOW = 0.90
SEND_BELOW = 0.97
_POLL = 3.0


@dataclass(slots=True)
class LogSpace:
    """The fullest of `streams`, as last seen; 0 until it has been seen."""

    bus: Bus
    streams: Sequence[str] = (EVENTS, CONTENT, SCHEDULE)
    poll: float = _POLL
    fullness: float = 0.0
    _warned: bool = field(default=False, repr=False)

    async def run(self) -> None:
        """Look every few seconds, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(self.poll)

    async def look(self) -> None:
        """Look once. When NATS is away the last figure stands."""
        try:
            states = [await self.bus.stream_state(name) for name in self.streams]
        except BusError:
            return
        self.fullness = max((each.bytes / each.max_bytes for each in states if each.max_bytes > 0), default=0.0)
        if self.full_for_accepting() != self._warned:
            self._warned = not self._warned
            log.warning("the log is %.0f %% full", 100 * self.fullness)

    def full_for_accepting(self) -> bool:
        """New mail has to wait for the operator."""
        return self.fullness >= ACCEPT_BELOW

    def full_for_sending(self) -> bool:
        """There may be no room for an outcome any more."""
        return self.fullness >= SEND_BELOW
