"""Reading facts in order: a reader that mends itself, and views in memory folded from a set's last facts."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Literal

from libs.common.facts import Envelope, decode, uuid7
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError, ConsumerGoneError, NotConnectedError, RefusedError
from libs.common.jetstream.message import Message
from libs.common.jetstream.pull import Puller
from libs.common.jetstream.streams import EVENTS

log = logging.getLogger(__name__)

_IDLE_NS = 30 * 10**9
_POLL = 2.0
_PAUSE = 0.2


class OrderedReader:
    """Every message of a filter, once and in stream order, across gaps, reconnects and lost consumers."""

    def __init__(
        self,
        bus: Bus,
        stream: str,
        *,
        filters: list[str],
        start_sequence: int = 1,
        start: Literal["sequence", "last_per_subject"] = "sequence",
    ) -> None:
        """Nothing is asked of the server before the first batch."""
        self._bus, self._stream, self._filters, self._start = bus, stream, filters, start
        self._puller: Puller | None = None
        self._name = ""
        self._expected = 1
        self.next_sequence = start_sequence
        self.pending = 0
        """How many messages were still waiting behind the last one, as the server said."""

    @property
    def at_end(self) -> bool:
        """True if the server had no further message at its last delivery."""
        return self._puller is not None and self.pending == 0

    async def batch(self, n: int, wait: float) -> list[Message]:
        """Up to `n` messages as soon as one is there, [] when none came in `wait` seconds.

        A lost connection or consumer is mended inside (for as long as `wait`, at least one try).
        """
        deadline = time.monotonic() + wait
        while True:
            try:
                puller = await self._consumer()
                messages = await puller.fetch(n, wait=max(deadline - time.monotonic(), 0.05))
                if self._in_order(messages):
                    if messages:
                        self.next_sequence, self.pending = messages[-1].sequence + 1, messages[-1].num_pending
                    return messages
            except (ConsumerGoneError, NotConnectedError):
                await self._drop()
            except BusError as error:
                log.warning("reading %s: %s", self._stream, error)
                await self._drop()
            left = deadline - time.monotonic()
            if left <= 0:
                return []
            await asyncio.sleep(min(_PAUSE, left))

    async def prefetch(self, n: int, wait: float) -> None:
        """Let the next messages come while the caller works on the last ones."""
        if self._puller is not None:
            try:
                await self._puller.prefetch(n, wait=wait)
            except BusError:
                await self._drop()

    async def close(self) -> None:
        """Forget the consumer; the server drops it by itself when idle."""
        await self._drop()

    async def _consumer(self) -> Puller:
        if self._puller is None:
            self._name = f"r{uuid7().hex}"
            config: dict[str, Any] = {
                "name": self._name,
                "ack_policy": "none",
                "mem_storage": True,
                "num_replicas": 1,
                "inactive_threshold": _IDLE_NS,
                "filter_subjects": self._filters,
            }
            if self._start == "last_per_subject" and self.next_sequence == 1:
                config["deliver_policy"] = "last_per_subject"
            else:
                config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": self.next_sequence}
            info = await self._bus.ensure_consumer(self._stream, config)
            self._expected, self.pending = 1, info["num_pending"]
            self._puller = self._bus.puller(self._stream, self._name)
        return self._puller

    def _in_order(self, messages: list[Message]) -> bool:
        for message in messages:
            if message.consumer_sequence != self._expected:
                log.warning(
                    "%s: expected delivery %d, got %d",
                    self._stream,
                    self._expected,
                    message.consumer_sequence,
                )
                self._puller = None
                return False
            self._expected += 1
        return True

    async def _drop(self) -> None:
        puller, self._puller = self._puller, None
        if puller is not None:
            await puller.close()


def read_in_order(bus: Bus, stream: str, *, filters: list[str], start_sequence: int) -> OrderedReader:
    """A reader from a sequence on."""
    return OrderedReader(bus, stream, filters=filters, start_sequence=start_sequence)


class View:
    """A set of aggregates in memory: the last fact of each at start (milliseconds), then every fact as it comes."""

    def __init__(
        self, bus: Bus, *, set_name: str, apply: Callable[[Envelope], None], reset: Callable[[], None]
    ) -> None:
        """`apply` sees each fact in log order; `reset` forgets everything, before the set is read anew."""
        self.set_name = set_name
        self.subject = f"mail.{set_name}.*"
        self.position = 0
        self.caught_up = asyncio.Event()
        self._bus, self._apply, self._reset = bus, apply, reset
        self._moved = asyncio.Condition()
        self._heard = time.monotonic()

    @property
    def silent_for(self) -> float:
        """Seconds since the server last proved that nothing is missing here."""
        return time.monotonic() - self._heard

    async def run(self) -> None:
        """Follow the set for ever. A fact that cannot be applied ends it: a wrong view is worse than none."""
        while True:
            reader = OrderedReader(self._bus, EVENTS, filters=[self.subject], start="last_per_subject")
            self._reset()
            self.position = 0
            await self._follow(reader)
            log.error("the log ends before what this view of %s has seen: reading it anew", self.set_name)

    async def wait_for(self, sequence: int, timeout: float = 2.0) -> bool:
        """Wait until the fact at `sequence` has been applied."""
        if self.position >= sequence:
            return True
        try:
            async with asyncio.timeout(timeout), self._moved:
                await self._moved.wait_for(lambda: self.position >= sequence)
        except TimeoutError:
            return False
        return True

    async def refresh(self, timeout: float = 2.0) -> bool:
        """Catch up with the set's last fact; False when that cannot be known or took too long.

        For negative answers: "there is no such key" must not be said while its fact is on its way here.
        """
        try:
            last = await self._bus.direct_last(EVENTS, self.subject)
        except BusError:
            return False
        return last is None or await self.wait_for(last.sequence, timeout)

    async def _follow(self, reader: OrderedReader) -> None:
        connection, idle = -1, True
        while True:
            if self._bus.connected and (idle or connection != self._bus.connections or not self.caught_up.is_set()):
                connection = self._bus.connections
                behind = await self._behind()
                if behind is None:
                    await reader.close()
                    return
                if not behind:
                    self._heard = time.monotonic()
                    self.caught_up.set()
            messages = await reader.batch(500, _POLL if self.caught_up.is_set() else _PAUSE)
            for message in messages:
                self._apply(decode(message.data, log_subject=message.subject, stream=EVENTS, sequence=message.sequence))
            if messages:
                self._heard = time.monotonic()
                async with self._moved:
                    self.position = messages[-1].sequence
                    self._moved.notify_all()
            idle = not messages

    async def _behind(self) -> bool | None:
        """True if the log has newer facts of the set; None if the log ends before our position."""
        try:
            last = await self._bus.direct_last(EVENTS, self.subject)
        except (BusError, RefusedError):
            return True
        sequence = 0 if last is None else last.sequence
        return None if sequence < self.position else sequence > self.position


__all__ = ["OrderedReader", "View", "read_in_order"]
