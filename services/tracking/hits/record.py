"""From a hit to its fact, off the path of the answer: queued, published many at a time, spooled when that fails."""

import asyncio
import logging

import orjson

from libs.common.errors import UnavailableError
from libs.common.facts import Envelope
from libs.common.jetstream.errors import BusError
from services.tracking.hits.counters import count
from services.tracking.hits.hit_rules import Hit, fact_of, is_tracked, to_record
from services.tracking.hits.limit_rules import EmailLimit
from services.tracking.ports import Accepted, Keep, Log

log = logging.getLogger(__name__)

_QUEUE = 20_000
"""Hits in memory, about 1 KB each; more go to the spool."""
_IN_FLIGHT = 128
"""Where one process's publishing stops getting faster (measured: 6,500/s)."""
_PUBLISH_SECONDS = 2.0
_DRAIN_SECONDS = 2.0
_SYNC_EVERY = 0.1


class Recorder:
    """Takes hits, and sees to it that each ends as a fact, in the spool, or in a counter."""

    def __init__(self, bus: Log, accepted: Accepted, spool: Keep, limit: EmailLimit, *, queue: int = _QUEUE) -> None:
        """Nothing happens to the hits taken before `run`."""
        self._bus, self._accepted, self._spool, self._limit = bus, accepted, spool, limit
        self._queue: asyncio.Queue[Hit] = asyncio.Queue(queue)

    def take(self, hit: Hit) -> None:
        """Never waits and never raises: the answer has been given."""
        if not self._bus.connected:
            self._keep(hit)
            return
        try:
            self._queue.put_nowait(hit)
        except asyncio.QueueFull:
            self._keep(hit)

    async def run(self) -> None:
        """Work for ever. Cancelled, what is in hand goes to the spool."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_IN_FLIGHT):
                group.create_task(self._work())
            while True:
                await asyncio.sleep(_SYNC_EVERY)
                await self._spool.sync()

    async def drain(self, seconds: float = _DRAIN_SECONDS) -> None:
        """Before the end: publish what is queued, as far as that is quick, and spool the rest."""
        try:
            async with asyncio.timeout(seconds):
                await self._queue.join()
        except TimeoutError:
            while not self._queue.empty():
                self._keep(self._queue.get_nowait())
                self._queue.task_done()

    async def fact(self, hit: Hit) -> Envelope | None:
        """The fact of a hit; None, counted, when there is nothing to record. Raises `UnavailableError`."""
        accepted = self._accepted.cached(hit.email_id) or await self._accepted.get(hit.email_id)
        if accepted is None:
            count(hit.link_index, "unknown")
        elif not is_tracked(hit, accepted.data):
            count(hit.link_index, "untracked")
        elif not self._limit.admits(hit.email_id.int):
            count(hit.link_index, "limited")
        else:
            return fact_of(hit, accepted.data, accepted.id)
        return None

    async def publish(self, fact: Envelope) -> None:
        """One try. Raises `BusError`; then it may be stored or not, and the same fact may be published again."""
        await self._bus.publish(
            fact.log_subject, fact.encode(), headers={"Nats-Msg-Id": fact.id}, timeout=_PUBLISH_SECONDS
        )

    async def _work(self) -> None:
        while True:
            hit = await self._queue.get()
            try:
                await self._record(hit)
            except asyncio.CancelledError:
                self._keep(hit)
                raise
            finally:
                self._queue.task_done()

    async def _record(self, hit: Hit) -> None:
        try:
            fact = await self.fact(hit)
        except UnavailableError:
            self._keep(hit)
            return
        if fact is None:
            return
        try:
            await self.publish(fact)
        except BusError as error:
            log.info("a hit goes to the spool: %s", error)
            self._limit.returned(hit.email_id.int)
            self._keep(hit)
        else:
            count(hit.link_index, "recorded")

    def _keep(self, hit: Hit) -> None:
        kept = self._spool.append(orjson.dumps(to_record(hit)))
        count(hit.link_index, "spooled" if kept else "lost")
