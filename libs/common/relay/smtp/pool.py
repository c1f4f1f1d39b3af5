"""A provider's kept connections: how many at once, how long each, and none that could be in doubt."""

import asyncio
import time
from dataclasses import dataclass, field

from libs.common.relay.smtp.settings import SmtpSettings
from libs.common.relay.smtp.wire import Wire


@dataclass(slots=True)
class Pool:
    """`slots` are the sends at work; the connection given back last is taken first, so the others may age."""

    settings: SmtpSettings
    slots: asyncio.Semaphore
    closed: bool = False
    _idle: list[tuple[float, Wire]] = field(default_factory=list)
    _leaving: set[Wire] = field(default_factory=set)
    _sweep: asyncio.TimerHandle | None = None

    def take(self) -> Wire | None:
        """An idle connection that still looks alive, or None."""
        while self._idle:
            since, wire = self._idle.pop()
            if wire.usable and time.monotonic() - since < self.settings.idle_seconds:
                return wire
            self._dismiss(wire)
        return None

    def give_back(self, wire: Wire) -> None:
        """Keep it for the next message, unless it has served enough or is no longer fit."""
        if self.closed or not wire.usable or wire.messages >= self.settings.messages_per_connection:
            self._dismiss(wire)
            return
        wire.kept = True
        self._idle.append((time.monotonic(), wire))
        if self._sweep is None:
            loop = asyncio.get_running_loop()
            self._sweep = loop.call_later(self.settings.idle_seconds, self._dismiss_idle)

    async def close(self) -> None:
        """Say goodbye on every idle connection and wait until all are gone."""
        self.closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for _, wire in self._idle:
            self._dismiss(wire)
        self._idle.clear()
        if self._leaving:
            await asyncio.wait({wire.closed for wire in self._leaving})

    def _dismiss_idle(self) -> None:
        """Close what has been idle for too long; the list is ordered by age."""
        self._sweep = None
        now = time.monotonic()
        while self._idle and now - self._idle[0][0] >= self.settings.idle_seconds:
            self._dismiss(self._idle.pop(0)[1])
        if self._idle:
            wait = self._idle[0][0] + self.settings.idle_seconds - now
            self._sweep = asyncio.get_running_loop().call_later(wait, self._dismiss_idle)

    def _dismiss(self, wire: Wire) -> None:
        if wire.closed.done():
            return
        self._leaving.add(wire)
        wire.closed.add_done_callback(lambda _: self._leaving.discard(wire))
        wire.leave(self.settings.timeouts.quit)
