"""Reading the log ahead of its use: both streams in order, decoded once, and never past damage.

The log's streams refuse purges, so a sequence that is missing, a fact that is another one than we saw, or a stream
that ends before our position or was born anew, means that the log is not the one we have projected.
"""

import asyncio
import base64
import contextlib
import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from libs.common.facts import Envelope, decode
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError, NotConnectedError, RefusedError
from libs.common.jetstream.message import Message
from libs.common.jetstream.views import OrderedReader, read_in_order
from libs.common.tasks import end
from services.analytics.projector.checkpoints import Mark

log = logging.getLogger(__name__)

UNDECODABLE = "undecodable"
"""The type given to a message that is no fact: every read model stops before it."""

_FETCH = 500
_WAIT = 2.0
_VERIFY_EVERY = 10.0
_PAUSE = 0.5
_AHEAD_BYTES = 16 * 2**20
_NOT_FOUND = frozenset({10037, 10059})
"""JetStream: no message found, stream not found."""

Facts = dict[str, list[Envelope]]


class LogDivergedError(Exception):
    """The log is not the one that the checkpoints speak of."""

    def __init__(self, stream: str, detail: str) -> None:
        """`detail` is for the operator."""
        super().__init__(f"{stream}: {detail}")
        self.stream = stream
        self.detail = detail


class LogReader:
    """Reads every stream from its mark on, in the background, a bounded way ahead. `start` before, `close` after."""

    def __init__(self, bus: Bus, marks: Mapping[str, Mark], *, ahead: int) -> None:
        """`ahead`: how many facts of each stream may wait here."""
        self._streams = {name: _StreamReader(bus, name, mark, ahead) for name, mark in marks.items()}
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = asyncio.Event()

    async def start(self, also: Mapping[str, Iterable[Mark]]) -> None:
        """Verify the marks (and other ones on the same streams) and begin to read.

        Raises LogDivergedError, or BusError when the log cannot be asked.
        """
        for name, tail in self._streams.items():
            await tail.verify(set(also.get(name, ())))
        for name, tail in self._streams.items():
            self._tasks.append(asyncio.create_task(tail.run(self._ready), name=f"read-{name}"))

    async def close(self) -> None:
        """Stop reading."""
        await end(self._tasks)
        for tail in self._streams.values():
            await tail.close()

    @property
    def behind(self) -> int:
        """How many facts the server still has for us, besides those that wait here."""
        return sum(tail.pending + len(tail.waiting) for tail in self._streams.values())

    def created(self, stream: str) -> str:
        """When the stream was born, as it says."""
        return self._streams[stream].created

    async def full(self, n: int) -> None:
        """Wait until that many facts wait here."""
        while True:
            self._ready.clear()
            if sum(len(tail.waiting) for tail in self._streams.values()) >= n:
                return
            await self._ready.wait()

    async def take(self, n: int, wait: float, limit: Mapping[str, int] | None = None) -> Facts:
        """Up to `n` facts of each stream, none beyond `limit`; {} when none came in `wait` seconds.

        Raises LogDivergedError once everything before the damage has been taken.
        """
        deadline = time.monotonic() + wait
        while True:
            self._ready.clear()
            facts = {name: taken for name, tail in self._streams.items() if (taken := tail.take(n, limit))}
            if facts:
                return facts
            for tail in self._streams.values():
                tail.check()
            left = deadline - time.monotonic()
            if left <= 0:
                return {}
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._ready.wait()


class _StreamReader:
    """One stream: what was read and not yet taken."""

    def __init__(self, bus: Bus, stream: str, mark: Mark, ahead: int) -> None:
        self._bus, self._stream, self._ahead = bus, stream, ahead
        self._reader: OrderedReader | None = None
        self._last = mark
        self._verified, self._verified_at = -1, 0.0
        self._room = asyncio.Event()
        self._room.set()
        self._failure: Exception | None = None
        self._bytes = 0
        self.created = mark.created
        self.pending = 0
        self.waiting: deque[tuple[Envelope, int]] = deque()

    def take(self, n: int, limit: Mapping[str, int] | None) -> list[Envelope]:
        end = None if limit is None else limit.get(self._stream, 0)
        taken: list[Envelope] = []
        waiting = self.waiting
        while waiting and len(taken) < n and (end is None or waiting[0][0].sequence <= end):
            envelope, size = waiting.popleft()
            self._bytes -= size
            taken.append(envelope)
        self._room.set()
        return taken

    def check(self) -> None:
        if self._failure is not None and not self.waiting:
            raise self._failure

    async def run(self, ready: asyncio.Event) -> None:
        """Read for ever; damage ends it and is told by `check`."""
        try:
            while True:
                await self._room.wait()
                try:
                    await self._fill()
                except BusError as error:
                    log.debug("%s cannot be read: %s", self._stream, error)
                    await asyncio.sleep(_PAUSE)
                if self.waiting:
                    ready.set()
                if len(self.waiting) >= self._ahead or self._bytes >= _AHEAD_BYTES:
                    self._room.clear()
        except Exception as error:  # noqa: BLE001 - raised again by `check`, in the task that takes
            self._failure = error
            ready.set()

    async def verify(self, also: Iterable[Mark] = ()) -> None:
        """Ask the stream's leader (a direct get may be answered by a replica that is late) whether it is the same."""
        connection = self._bus.connections
        try:
            state = await self._bus.stream_state(self._stream)
        except RefusedError as error:
            raise NotConnectedError(f"{self._stream}: {error}") from error
        for mark in {self._last, *also}:
            if mark.position == 0:
                continue
            if mark.created != state.created:
                raise LogDivergedError(self._stream, f"born {state.created}, the one projected {mark.created}")
            if state.last_sequence < mark.position:
                detail = f"ends at {state.last_sequence}, projected to {mark.position}: its tail is lost"
                raise LogDivergedError(self._stream, detail)
            found = await fact_id_at(self._bus, self._stream, mark.position)
            if found != mark.fact_id:
                detail = f"at {mark.position} stands {found or 'nothing'}, projected was {mark.fact_id}"
                raise LogDivergedError(self._stream, detail)
        self.created = state.created
        self.pending = max(state.last_sequence - self._last.position - len(self.waiting), 0)
        self._verified, self._verified_at = connection, time.monotonic()

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.close()

    async def _fill(self) -> None:
        if self._reader is None:
            start = self._last.position + 1
            self._reader = read_in_order(self._bus, self._stream, filters=[">"], start_sequence=start)
        messages = await self._reader.batch(_FETCH, _WAIT)
        # Between reading and using: a server that came back without its tail must not be believed.
        stale = time.monotonic() - self._verified_at > _VERIFY_EVERY
        while self._verified != self._bus.connections or stale:
            if not self._bus.connected and not messages:
                return
            try:
                await self.verify()
            except BusError:
                if not messages:
                    raise
                await asyncio.sleep(_PAUSE)
            else:
                stale = False
        if messages:
            await self._reader.prefetch(_FETCH, _WAIT)
            self._accept(messages)

    def _accept(self, messages: list[Message]) -> None:
        expected = self._last.position
        envelope: Envelope | None = None
        for message in messages:
            expected += 1
            if message.sequence != expected:
                if envelope is not None:
                    self._last = Mark(envelope.sequence, envelope.id, self.created)
                raise LogDivergedError(self._stream, f"facts {expected} to {message.sequence - 1} are missing")
            envelope = _decoded(message, self._stream)
            self.waiting.append((envelope, len(message.data)))
            self._bytes += len(message.data)
        if envelope is not None:
            self._last = Mark(envelope.sequence, envelope.id, self.created)
            self.pending = messages[-1].num_pending


def _decoded(message: Message, stream: str) -> Envelope:
    try:
        return decode(message.data, log_subject=message.subject, stream=stream, sequence=message.sequence)
    except ValueError as error:
        data = {"error": str(error)}
        return Envelope("", "", UNDECODABLE, "", "", data, None, None, None, message.subject, stream, message.sequence)


async def fact_id_at(bus: Bus, stream: str, sequence: int) -> str:
    """The id of the fact at a sequence, "" when there is none. Answered by the stream's leader."""
    try:
        answer = await bus.api(f"STREAM.MSG.GET.{stream}", {"seq": sequence})
    except RefusedError as error:
        if error.err_code in _NOT_FOUND:
            return ""
        raise
    try:
        stored: Any = orjson.loads(base64.b64decode(answer["message"].get("data", "")))
        return str(stored["id"])
    except (ValueError, KeyError, TypeError):
        return ""
