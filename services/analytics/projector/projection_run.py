"""One reader and one transaction for a set of read models: facts in, rows and checkpoints out, together or not at all.

The live projector, a model that is catching up and a rebuild are the same run with different targets.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from libs.common.facts import FACTS, Envelope, upcast
from libs.common.facts.registry import UPCASTERS
from libs.common.jetstream.bus import Bus
from libs.common.tasks import end
from services.analytics.postgres import AwayError, Session
from services.analytics.projector.checkpoints import FencedError, Mark, Move, Stopped, lock, move, stop
from services.analytics.projector.model import Rows, Target
from services.analytics.projector.stream_reader import UNDECODABLE, Facts, LogReader

log = logging.getLogger(__name__)

Marks = dict[tuple[str, str], Mark]

_TRANSIENT = (AwayError, FencedError)
_KNOWN = frozenset(FACTS)


class UndecodableError(Exception):
    """A message of the log is no fact."""


@dataclass(frozen=True, slots=True)
class _Work:
    """The effect of one batch on one target."""

    target: Target
    moves: list[Move]
    rows: Rows


@dataclass(frozen=True, slots=True)
class _Batch:
    """Facts, folded: `error` when they could not be. `staged`: the rows are in an open transaction already."""

    facts: Facts
    work: list[_Work]
    error: Exception | None = None
    staged: bool = False


class ProjectionRun:
    """Moves its targets forward, step by step. One task at a time; a run that raised is of no more use."""

    def __init__(
        self, bus: Bus, sessions: Sequence[Session], targets: Sequence[Target], marks: Marks, *, batch: int
    ) -> None:
        """`marks` must have one entry for each target and stream; `batch` is in facts of each stream.

        With two sessions the rows of the next batch go to the server while it applies the last one.
        """
        self.session = sessions[0]
        """The one that is free between two steps, for the caller's own statements."""
        self._other = sessions[1] if len(sessions) > 1 else None
        self.targets = list(targets)
        self.keys = frozenset(target.key for target in targets)
        self.marks = {place: mark for place, mark in marks.items() if place[0] in self.keys}
        self.stopped: list[Stopped] = []
        self.unknown: Counter[str] = Counter()
        """Facts whose type this code does not know, by type: models skipped them."""
        self.batch = batch
        self.streams = sorted({stream for _, stream in self.marks})
        self._reader = LogReader(bus, {stream: self._lowest(stream) for stream in self.streams}, ahead=2 * batch)
        self._foreseen = dict(self.marks)
        """Where the targets will be when everything that was taken from the reader has been applied."""
        self._ahead: asyncio.Task[_Batch] | None = None
        self._working = asyncio.Event()
        """Postgres has something to do that takes a while: the time to fold ahead."""
        self._held: Facts = {}
        """What `_ahead` has taken; empty as long as it waits."""

    @property
    def behind(self) -> int:
        """Facts in the log that are not in the tables yet, as far as the server said."""
        return self._reader.behind + _size(self._held)

    def position(self, stream: str) -> int:
        """The sequence that every target has passed that is not stopped."""
        return min((self.marks[target.key, stream].position for target in self.targets), default=0)

    async def open(self, *, durable: bool) -> None:
        """Verify the log and begin to read. Raises LogDivergedError, BusError, AwayError.

        `durable`: a commit waits for the disk. Needed for the copy of the log; what can be folded again may lose its
        last commits with the machine, since rows and checkpoint are lost together (docs/reliability.md, *Postgres*).
        """
        for session in filter(None, (self.session, self._other)):
            await session.run(f"SET synchronous_commit TO {'on' if durable else 'off'}")
            for target in self.targets:
                await session.run(f"SET search_path TO {target.schema}; {target.model.statements['stage']}")
            await session.run("RESET search_path")
        also: dict[str, list[Mark]] = {stream: [] for stream in self.streams}
        for (_, stream), mark in self.marks.items():
            also[stream].append(mark)
        await self._reader.start(also)

    async def close(self) -> None:
        """Stop reading; the sessions stay the caller's, to be closed."""
        if self._ahead is not None:
            await end([self._ahead])
        await self._reader.close()

    async def step(self, wait: float, *, limit: Mapping[str, int] | None = None) -> int:
        """Take what is there (waiting up to `wait` seconds), apply it in one transaction; how many facts that were.

        While Postgres works on it the next batch is made ready, if it is a full one: a small one may still grow.
        """
        batch = await self._next_batch(wait, limit)
        count = _size(batch.facts)
        if not count:
            return 0
        if batch.staged and self._other is not None:
            self.session, self._other = self._other, self.session
        self._working.clear()
        self._ahead = asyncio.create_task(self._make_ready(limit), name="make-ready")
        try:
            await self._commit(batch)
        except _TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a fold or a statement raises is found by bisecting
            log.warning("a batch of %d facts was refused, looking for the fact: %s", count, _short(error))
            await self._isolate(batch.facts)
        self._count_unknown(batch.facts)
        return count

    async def reach(self, limit: Mapping[str, int], wait: float) -> bool:
        """Inside the caller's transaction: apply all facts up to `limit` as one batch. False when they did not come.

        After an error, or False, the caller rolls back and this run is of no more use.
        """
        held = await self._taken_ahead()
        gathered: Facts = {} if held is None else dict(held.facts)
        if held is not None and held.staged and self._other is not None:
            await self._other.run("ROLLBACK")
        missing = sum(max(end - self.position(stream), 0) for stream, end in limit.items())
        deadline = asyncio.get_running_loop().time() + wait
        while _size(gathered) < missing:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return False
            for stream, facts in (await self._reader.take(self.batch, left, limit)).items():
                gathered.setdefault(stream, []).extend(facts)
        if gathered:
            await self._write([self._work(target, gathered, self.marks) for target in self.targets], staged=False)
        return True

    async def _next_batch(self, wait: float, limit: Mapping[str, int] | None) -> _Batch:
        if (held := await self._taken_ahead()) is not None:
            return held
        return await self._fold(await self._reader.take(self.batch, wait, limit))

    async def _make_ready(self, limit: Mapping[str, int] | None) -> _Batch:
        await self._working.wait()
        await self._reader.full(self.batch)
        self._held = await self._reader.take(self.batch, 0.0, limit)
        batch = await self._fold(self._held)
        if self._other is None or batch.error is not None:
            return batch
        try:
            await self._other.run("BEGIN")
            for item in batch.work:
                await self._stage(self._other, item)
        except AwayError as error:
            return replace(batch, error=error)
        except Exception as error:  # noqa: BLE001 - a row that cannot be sent: its fact is found by bisecting
            await self._other.run("ROLLBACK")
            return replace(batch, error=error)
        return replace(batch, staged=True)

    async def _taken_ahead(self) -> _Batch | None:
        task, self._ahead = self._ahead, None
        if task is None:
            return None
        if not self._held:
            await end([task])
            return None
        batch, self._held = await task, {}
        return batch

    async def _fold(self, facts: Facts) -> _Batch:
        work: list[_Work] = []
        failed: Exception | None = None
        for target in self.targets:
            try:
                work.append(self._work(target, facts, self._foreseen))
            except Exception as error:  # noqa: BLE001 - raised again by the step that applies this batch
                failed = error
                break
            await asyncio.sleep(0)  # the process answers requests as well
        for key, stream in self._foreseen:
            if _after(facts.get(stream, ()), self._foreseen[key, stream].position):
                self._foreseen[key, stream] = self._mark(facts[stream][-1])
        return _Batch(facts, work, failed)

    async def _commit(self, batch: _Batch) -> None:
        if batch.error is not None:
            raise batch.error
        work = [item for item in batch.work if item.target in self.targets]
        if not any(item.moves for item in work):
            if batch.staged:
                await self.session.run("ROLLBACK")
            return
        async with self.session.transaction(begun=batch.staged):
            await self._write(work, staged=batch.staged)
        for item in work:
            for step in item.moves:
                self.marks[step.key, step.stream] = step.mark

    async def _write(self, work: Sequence[_Work], *, staged: bool) -> None:
        await move(self.session, [step for item in work for step in item.moves])
        for item in work:
            if not any(item.rows.values()):
                continue
            if not staged:
                await self._stage(self.session, item)
            self._working.set()
            apply = item.target.model.statements["apply"]
            await self.session.run(f"SET LOCAL search_path TO {item.target.schema}; {apply}")

    async def _stage(self, session: Session, item: _Work) -> None:
        for stage, rows in item.rows.items():
            if rows:
                await session.copy(stage, item.target.model.stages[stage], rows)

    def _work(self, target: Target, facts: Facts, marks: Marks) -> _Work:
        moves: list[Move] = []
        news: list[Envelope] = []
        for stream in self.streams:
            new = _after(facts.get(stream, ()), old := marks[target.key, stream].position)
            if new:
                moves.append(Move(target.key, stream, old, self._mark(new[-1])))
                news += new
        if not news:
            return _Work(target, [], {})
        for fact in news:
            if fact.type == UNDECODABLE:
                raise UndecodableError(f"no fact: {fact.data['error']}")
        lifted = news if target.model.raw or not UPCASTERS else [_lifted(fact) for fact in news]
        return _Work(target, moves, target.model.fold(lifted))

    def _mark(self, fact: Envelope) -> Mark:
        return Mark(fact.sequence, fact.id, self._reader.created(str(fact.stream)))

    async def _isolate(self, facts: Facts) -> None:
        """Each target by itself: those that can go on do, the others stop before the first fact they cannot take."""
        for target in list(self.targets):
            for stream in self.streams:
                found = await self._bisect(target, stream, facts.get(stream, []))
                if found is not None:
                    await self._stop(found)
                    self.targets.remove(target)
                    break

    async def _bisect(self, target: Target, stream: str, facts: list[Envelope]) -> Stopped | None:
        facts = list(_after(facts, self.marks[target.key, stream].position))
        if not facts:
            return None
        try:
            await self._commit(_Batch({stream: facts}, [self._work(target, {stream: facts}, self.marks)]))
        except _TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 - told to the operator with the fact that it is about
            if len(facts) == 1:
                fact = facts[0]
                text = f"{fact.type} {fact.id}: {_short(error)}"
                return Stopped(target.key, stream, fact.sequence, text)
            middle = len(facts) // 2
            first = await self._bisect(target, stream, facts[:middle])
            return first or await self._bisect(target, stream, facts[middle:])
        return None

    async def _stop(self, stopped: Stopped) -> None:
        log.error("%s stops before %s %d: %s", stopped.key, stopped.stream, stopped.sequence, stopped.error)
        async with self.session.transaction():
            # A rebuild may have swapped its tables in meanwhile: they have come past this fact.
            for (key, stream), mark in (await lock(self.session, [stopped.key])).items():
                if mark.position != self.marks[key, stream].position:
                    raise FencedError(f"{key} has moved past {stream} {self.marks[key, stream].position}")
            await stop(self.session, stopped)
        self.stopped.append(stopped)

    def _lowest(self, stream: str) -> Mark:
        marks = [mark for (_, name), mark in self.marks.items() if name == stream]
        return min(marks, key=lambda mark: mark.position)

    def _count_unknown(self, facts: Facts) -> None:
        for envelopes in facts.values():
            for fact in envelopes:
                if fact.type not in _KNOWN and fact.type not in UPCASTERS:
                    self.unknown[fact.type] += 1


def _size(facts: Facts) -> int:
    return sum(map(len, facts.values()))


def _after(facts: Sequence[Envelope], position: int) -> Sequence[Envelope]:
    """The facts after a position; the sequences of a batch have no gaps."""
    if not facts:
        return facts
    known = position - facts[0].sequence + 1
    return facts[known:] if known > 0 else facts


def _lifted(fact: Envelope) -> Envelope:
    if fact.type not in UPCASTERS:
        return fact
    type_, data = upcast(fact.type, fact.data)
    return fact._replace(type=type_, data=data)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]
