"""The audit: after every (re)connect, whether each email that is owed an attempt is really queued or scheduled.

The queue is derived from the log, but a queue whose tail is damaged on disk remembers how far it had come and does not
come back for what it lost: such mail would wait for ever, in silence. So the log is asked what is owed (in sixteen
parts, to bound the memory), and what is in neither queue nor schedule is scheduled again. What is scheduled here
became due a minute ago or more, which makes it suspect to the worker: it looks for an outcome before it sends.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import orjson
from prometheus_client import Counter, Gauge

from libs.common.facts import Envelope, decode
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError, NotConnectedError
from libs.common.jetstream.message import Message
from libs.common.jetstream.streams import EVENTS, QUEUE, SCHEDULE, schedule_subject
from libs.common.jetstream.views import read_in_order
from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.owed_fold import Owed, fold, overdue
from services.sender.ports import OutcomeLog

log = logging.getLogger(__name__)

REACH = timedelta(hours=49)
"""An email is given up two days after it was accepted: what is older is owed nothing."""
SETTLED = 60.0
"""Seconds after a connect until it begins, and how long ago an attempt must have become due."""
_PARTS = 16
_BATCH = 2_000
_POLL = 1.0
_WAIT = 0.2

REQUEUED = Counter("temps_sender_requeued_total", "Attempts that were owed but neither queued nor scheduled")
OVERDUE = Gauge("temps_sender_overdue", "Attempts that were due for a minute or more at the last audit")


@dataclass(frozen=True, slots=True)
class Audit:
    """One worker's audit of the log against queue and schedule."""

    bus: Bus
    outcome_log: OutcomeLog
    settled: float = SETTLED
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    async def run(self) -> None:
        """Once after every connect that lasts, for ever."""
        done = 0
        while True:
            await asyncio.sleep(_POLL)
            connection = self.bus.connections
            if not self.bus.connected or connection == done:
                continue
            await asyncio.sleep(self.settled)
            if connection != self.bus.connections:
                continue
            try:
                await self.once()
            except BusError as error:
                log.info("the audit was cut short: %s", error)
            else:
                done = connection

    async def once(self) -> int:
        """Audit everything within reach; how many attempts had been lost. Raises BusError."""
        began = self.now()
        last = (await self.bus.stream_state(EVENTS)).last_sequence
        first = await self._first_sequence(began - REACH)
        lost, late = 0, 0
        for shards in _shards():
            owed = await self._owed(shards, first, last)
            waiting = overdue(owed, began - timedelta(seconds=self.settled))
            late += len(waiting)
            if waiting:
                lost += await self._requeue(waiting)
        OVERDUE.set(late)
        if lost:
            log.warning("%d attempts were owed and neither queued nor scheduled: scheduled again", lost)
        return lost

    async def _first_sequence(self, since: datetime) -> int:
        async with aclosing(self.bus.direct_batch(EVENTS, "mail.email.>", start_time=since, batch=1)) as messages:
            async for message in messages:
                return message.sequence
        return 1

    async def _owed(self, shards: list[str], first: int, last: int) -> Owed:
        owed: Owed = {}
        reader = read_in_order(
            self.bus, EVENTS, filters=[f"mail.email.{shard}.>" for shard in shards], start_sequence=first
        )
        try:
            while reader.next_sequence <= last and not reader.at_end:
                if not self.bus.connected:
                    raise NotConnectedError(EVENTS)
                fold(owed, (_fact(each) for each in await reader.batch(_BATCH, _WAIT)))
                await asyncio.sleep(0)
        finally:
            await reader.close()
        return owed

    async def _requeue(self, waiting: list[Attempt]) -> int:
        """Work moves from schedule to queue to outcome: looked for in that order, it is found wherever it is."""
        missing = [each for each in waiting if not await self._is_scheduled(each)]
        queued = await self._queued() if missing else set()
        lost = 0
        for attempt in missing:
            if str(attempt.email_id) in queued or await self.outcome_log.find(attempt, redelivered=True) is not None:
                continue
            log.warning("attempt %d of email %s was lost", attempt.number, attempt.email_id)
            await self.outcome_log.schedule(attempt)
            REQUEUED.inc()
            lost += 1
        return lost

    async def _is_scheduled(self, attempt: Attempt) -> bool:
        return await self.bus.direct_last(SCHEDULE, schedule_subject(attempt.email_id)) is not None

    async def _queued(self) -> set[str]:
        """The email ids of everything in the queue, in hand or not."""
        found: set[str] = set()
        async for message in self.bus.direct_batch(QUEUE, "queue.ready.>", batch=_BATCH):
            body = orjson.loads(message.data)
            found.add(str(body.get("email_id") or body.get("data", {}).get("email_id")))
        return found


def _fact(message: Message) -> Envelope:
    return decode(message.data, log_subject=message.subject, stream=EVENTS, sequence=message.sequence)


def _shards() -> Iterator[list[str]]:
    each = 256 // _PARTS
    for start in range(0, 256, each):
        yield [f"{shard:02x}" for shard in range(start, start + each)]
