"""The messages that this worker has in flight, and the lease on each: no other worker may deliver a leased message.

The queue's `ack_wait` is the lease. It is extended by a *requested* `+WPI` and is ours for thirty seconds from the
moment before the last request that was answered. A fast delivery never extends it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.message import Message
from services.sender.channel.send_gate import SendGate
from services.sender.deliver.attempt_rules import Attempt

log = logging.getLogger(__name__)

ACK_WAIT = 30.0
"""Seconds of a lease. It is extended after a third of them, and the final dot needs a sixth."""
_TICK = 1.0
_FROZEN = 3.0
"""A tick that comes this late means that the process was stopped: what arrived meanwhile may be old."""

Key = tuple[UUID, int, int]


@dataclass(slots=True, eq=False)
class LeasedMessage:
    """One message in hand; `copies` are further messages for the same attempt, acknowledged together with it."""

    message: Message
    attempt: Attempt
    in_flight: "InFlight"
    leased_at: float
    copies: list[Message] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    dotted: bool = False
    """The final dot was allowed: from here on the relay may have the message."""
    deciding: bool = False
    """Its outcome may be in the log already: the next delivery of this message has to look there."""
    asking: bool = False
    """Waiting for the peers to say whether one of them is delivering it."""

    async def confirm(self) -> bool:
        """`services.sender.ports.Lease.confirm`."""
        if not self.in_flight.send_gate.is_open:
            return False
        if self.left() < self.in_flight.ack_wait / 6 and not (await self.extend() and self.in_flight.send_gate.is_open):
            return False
        self.dotted = True
        return True

    def decided(self) -> None:
        """`services.sender.ports.Lease.decided`."""
        self.deciding = True

    @property
    def untouched(self) -> bool:
        """True if another worker may start on it from scratch."""
        return not (self.dotted or self.deciding or self.asking)

    async def regain(self) -> bool:
        """`services.sender.ports.Lease.regain`."""
        self.dotted = False  # asked for by somebody who knows that nothing was sent
        await self.in_flight.send_gate.opened()
        return self.left() >= self.in_flight.ack_wait / 6 or await self.extend()

    def left(self) -> float:
        """Seconds of the lease that are left; none that can be relied on after the process was stopped."""
        return 0.0 if self.doubtful else self.leased_at + self.in_flight.ack_wait - time.monotonic()

    @property
    def doubtful(self) -> bool:
        """True if this process was suspended: a message that was buffered meanwhile looks as if it had just arrived."""
        return time.monotonic() - self.in_flight.ticked_at > _FROZEN or self.leased_at < self.in_flight.distrust_before

    @property
    def lapsed(self) -> bool:
        """True if the lease has expired by our own clock."""
        return time.monotonic() > self.leased_at + self.in_flight.ack_wait

    async def extend(self) -> bool:
        """Ask for another thirty seconds.

        The server answers also for one that has run out and that somebody else has by now: one that has, or may have,
        is ours again only if nobody else is there, which is looked at afterwards, because who had taken it by then had
        shown himself before.
        """
        before, lost = time.monotonic(), self.lapsed or self.doubtful
        answered = await self.in_flight.bus.in_progress(self.message)
        if answered and lost and not await self.in_flight.alone():
            return False
        if answered:
            self.leased_at = before
        return answered

    async def acknowledge(self) -> None:
        """The queue may forget it; if this is lost, it comes again and its outcome is found."""
        try:
            for message in (self.message, *self.copies):
                await self.in_flight.bus.ack(message)
        except BusError as error:
            log.info("an acknowledgement was lost: %s", error)


class InFlight:
    """Everything one worker has in hand."""

    def __init__(self, bus: Bus, send_gate: SendGate, *, ack_wait: float = ACK_WAIT) -> None:
        """Empty."""
        self.bus, self.send_gate, self.ack_wait = bus, send_gate, ack_wait
        self.held: dict[Key, LeasedMessage] = {}
        self.ticked_at = time.monotonic()
        self.distrust_before = 0.0
        self.alone: Callable[[], Awaitable[bool]] = _nobody_else
        """True if no other worker can be alive, checked now."""
        self._untouched: dict[Key, None] = {}
        self._discarding: set[asyncio.Task[None]] = set()

    def take(self, message: Message, attempt: Attempt) -> LeasedMessage | None:
        """Take a message in hand; None when it is a second copy of what is there already."""
        first = self.held.get(attempt.key)
        if first is not None:
            if message.sequence == first.message.sequence:
                # The same message once more: its newest delivery is the one to extend and to acknowledge.
                first.message, first.leased_at = message, max(first.leased_at, message.received)
            else:
                first.copies = [each for each in first.copies if each.sequence != message.sequence]
                first.copies.append(message)
            return None
        held = self.held[attempt.key] = LeasedMessage(message, attempt, self, message.received)
        return held

    def drop(self, held: LeasedMessage) -> None:
        """It is done, or no longer ours."""
        self.held.pop(held.attempt.key, None)

    def discard(self, message: Message) -> None:
        """Never deliver this message again: nobody can make anything of it."""
        task = asyncio.create_task(self.bus.term(message))
        self._discarding.add(task)
        task.add_done_callback(self._discarded)

    def _discarded(self, task: asyncio.Task[None]) -> None:
        self._discarding.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.info("an unreadable message will come again: %s", task.exception())

    def note_untouched(self, key: Key) -> None:
        """We let go of it and know that nothing was sent: when it comes again it is no lost work."""
        self._untouched[key] = None
        while len(self._untouched) > 10_000:
            del self._untouched[next(iter(self._untouched))]

    def was_untouched(self, key: Key) -> bool:
        """True if `note_untouched` was the last event of this attempt here. Reading it resets it."""
        return self._untouched.pop(key, 0) is None

    async def tick(self) -> None:
        """Notice for ever whether this process is being stopped."""
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            if now - self.ticked_at > _TICK + _FROZEN:
                log.warning("this process stood still for %.1f s: every lease is in doubt", now - self.ticked_at)
                self.distrust_before = now + 0.5
            self.ticked_at = now

    async def keep(self) -> None:
        """Extend what is held for long, for ever."""
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            old = [held for held in self.held.values() if now - held.leased_at > self.ack_wait / 3]
            if old and self.bus.connected:
                await asyncio.gather(*(held.extend() for held in old))
                copies = [copy for held in old for copy in held.copies]
                await asyncio.gather(*(self.bus.in_progress(copy) for copy in copies))


async def _nobody_else() -> bool:
    return True
