"""Is the log whole? Each stream is compared with its second copy in Postgres, fact by fact, both in their order."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.common.facts import decode, timestamp
from libs.common.jetstream.bus import Bus, StreamState
from libs.common.jetstream.message import Message
from libs.common.jetstream.streams import LOG
from libs.common.jetstream.views import read_in_order
from services.analytics.postgres import Session
from services.analytics.projector.checkpoints import Mark, standing
from services.analytics.projector.model import ReadModel
from services.analytics.projector.rebuilding import Report

_CHUNK = 2000
_WAIT = 5.0
_SILENCE = 30.0
"""A stream that sends nothing for this long although it has more cannot be verified."""
_SHOWN = 20
_ID, _SEQUENCE, _TIME = 0, 2, 7


class VerifyFailedError(Exception):
    """The comparison could not be finished."""


@dataclass
class Verdict:
    """Differences between a stream and its copy. The lists hold the first few, the numbers count all."""

    stream: str
    compared: int = 0
    uncopied: int = 0
    """Facts behind the projector's position: they are still to be copied, nothing is wrong with them."""
    duplicates: int = 0
    """Facts published twice, further apart than JetStream notices: copied once."""
    missing_in_stream: int = 0
    missing_in_copy: int = 0
    differing: int = 0
    holes: int = 0
    """Sequences that neither side has."""
    reborn: bool = False
    lines: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Nothing is lost and nothing is foreign."""
        return not (self.missing_in_stream or self.missing_in_copy or self.differing or self.holes or self.reborn)

    def say(self, line: str) -> None:
        """One of the first few findings."""
        if len(self.lines) < _SHOWN:
            self.lines.append(line)


async def verify_log(
    bus: Bus,
    session: Session,
    *,
    copy: ReadModel,
    streams: Sequence[str] = LOG,
    report: Report = lambda _done, _all: None,
) -> list[Verdict]:
    """Compare every stream with its copy. Raises VerifyFailedError, BusError, AwayError."""
    known = await standing(session)
    total = sum([(await bus.stream_state(stream)).last_sequence for stream in streams])
    done = 0
    verdicts = []
    for stream in streams:
        comparison = _Comparison(stream, copy, known.marks.get((copy.name, stream), Mark()))
        base = done
        async for sequence in comparison.run(bus, session):
            done = base + sequence
            report(done, max(total, done))
        verdicts.append(comparison.verdict)
    return verdicts


class _Comparison:
    """A merge of two ordered sides by sequence."""

    def __init__(self, stream: str, copy: ReadModel, mark: Mark) -> None:
        self.verdict = Verdict(stream)
        self._copy, self._mark = copy, mark
        self._expected = 1
        self._unmatched: dict[str, int] = {}

    async def run(self, bus: Bus, session: Session) -> AsyncIterator[int]:
        """Yields how far it is."""
        stream = self.verdict.stream
        rows = _flat(session.stream(self._copy.statements["copied"], {"stream": stream}, size=_CHUNK))
        row = await anext(rows, None)
        # The copy's snapshot is taken: only now the stream's end, so that the copy cannot be ahead of it.
        state = await bus.stream_state(stream)
        self._birth(state)
        async for messages in _batches(bus, stream, state.last_sequence):
            for message, wanted in zip(messages, self._rows_of(messages), strict=True):
                while row is not None and row[_SEQUENCE] < message.sequence:
                    self._lost(row, state)
                    row = await anext(rows, None)
                self._at(message.sequence)
                if row is not None and row[_SEQUENCE] == message.sequence:
                    self._both(row, wanted)
                    row = await anext(rows, None)
                else:
                    self._uncopied(message, wanted)
            yield messages[-1].sequence
        while row is not None:
            self._lost(row, state)
            row = await anext(rows, None)
        self._at(state.last_sequence + 1)
        await self._settle(session)

    def _birth(self, state: StreamState) -> None:
        if self._mark.created and self._mark.created != state.created:
            self.verdict.reborn = True
            self.verdict.say(f"the stream was born {state.created}, the copied one {self._mark.created}")

    def _at(self, sequence: int) -> None:
        """Everything before this sequence has been seen on one side at least, or is a hole."""
        if sequence > self._expected:
            self.verdict.holes += sequence - self._expected
            self.verdict.say(f"{self._expected} to {sequence - 1}: on neither side")
        self._expected = max(self._expected, sequence + 1)

    def _rows_of(self, messages: Sequence[Message]) -> list[tuple[Any, ...] | None]:
        """The row that the copy must hold; None if the message is no fact."""
        found: list[tuple[Any, ...] | None] = []
        for message in messages:
            try:
                fact = decode(
                    message.data,
                    log_subject=message.subject,
                    stream=self.verdict.stream,
                    sequence=message.sequence,
                )
                [[folded]] = self._copy.fold([fact]).values()
                found.append((*folded[:_TIME], timestamp(fact.at), *folded[_TIME + 1 :]))
            except ValueError:
                found.append(None)
        return found

    def _both(self, row: tuple[Any, ...], wanted: tuple[Any, ...] | None) -> None:
        self.verdict.compared += 1
        if row != wanted:
            self.verdict.differing += 1
            there = "no fact" if wanted is None else wanted[_ID]
            what = "another fact" if there != row[_ID] else "the same id with another content"
            self.verdict.say(f"{row[_SEQUENCE]}: {what}: stream {there}, copy {row[_ID]}")

    def _lost(self, row: tuple[Any, ...], state: StreamState) -> None:
        behind_end = row[_SEQUENCE] > state.last_sequence
        if not behind_end:
            self._at(row[_SEQUENCE])
        self.verdict.missing_in_stream += 1
        where = "behind its end" if behind_end else "in the middle"
        self.verdict.say(f"{row[_SEQUENCE]}: only in the copy ({where}): {row[_ID]}")

    def _uncopied(self, message: Message, wanted: tuple[Any, ...] | None) -> None:
        if message.sequence > self._mark.position:
            self.verdict.uncopied += 1
        elif wanted is None:
            self.verdict.missing_in_copy += 1
            self.verdict.say(f"{message.sequence}: no fact, and not in the copy")
        else:
            self._unmatched[wanted[_ID]] = message.sequence

    async def _settle(self, session: Session) -> None:
        """Those missing from the copy are duplicates when the copy has the same id at an earlier place."""
        ids = list(self._unmatched)
        for begin in range(0, len(ids), _CHUNK):
            some = ids[begin : begin + _CHUNK]
            values = {"stream": self.verdict.stream, "ids": some}
            places = dict(await session.rows(self._copy.statements["places"], values))
            for id_ in some:
                sequence = self._unmatched[id_]
                if places.get(id_, sequence) < sequence:
                    self.verdict.duplicates += 1
                else:
                    self.verdict.missing_in_copy += 1
                    self.verdict.say(f"{sequence}: only in the stream: {id_}")


async def _batches(bus: Bus, stream: str, last: int) -> AsyncIterator[list[Message]]:
    reader = read_in_order(bus, stream, filters=[">"], start_sequence=1)
    silent = 0.0
    try:
        while reader.next_sequence <= last:
            messages = await reader.batch(_CHUNK, _WAIT)
            if not messages and bus.connected and reader.pending == 0:
                return  # the server has no more, although it counted further: the last ones are gone
            silent = 0.0 if messages else silent + _WAIT
            if silent >= _SILENCE:
                raise VerifyFailedError(f"{stream} gives nothing from {reader.next_sequence} on, of {last}")
            wanted = [message for message in messages if message.sequence <= last]
            if wanted:
                await reader.prefetch(_CHUNK, _WAIT)
                yield wanted
    finally:
        await reader.close()


async def _flat(chunks: AsyncIterator[list[tuple[Any, ...]]]) -> AsyncIterator[tuple[Any, ...]]:
    async for chunk in chunks:
        for row in chunk:
            yield row
