"""Read models anew from the facts, beside the live ones, and swapped in so that readers notice nothing.

The tables are filled in `rm_<name>_next`, by the owner (only an owner may rename schemas), while the live projector
goes on. Once both have passed the same facts, under the lock of the live checkpoints, one transaction renames the
schemas. The old tables are dropped a little later: a cursor that is open on them is read to its end.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import LOG
from services.analytics.postgres import AwayError, Session, StatementError, role_of
from services.analytics.projector.checkpoints import SQL, FencedError, Stopped, begin, lock, prepare, standing, try_lock
from services.analytics.projector.model import ReadModel, Target, beside
from services.analytics.projector.projection_run import Marks, ProjectionRun

log = logging.getLogger(__name__)

Report = Callable[[int, int], None]
"""Told after each step: facts taken in, facts there are."""

_BATCH = 5000
_STATEMENT_SECONDS = 60.0
_WAIT = 0.5
_PAUSE = 1.0
_NEAR = 5000
"""Facts that may be left when the live projector is made to wait for the swap: well under a second of work."""
_REACH_SECONDS = 3.0
_DROP_SECONDS = 60.0


class RebuildRefusedError(Exception):
    """It cannot be begun: somebody else is at it."""


class NotYetError(Exception):
    """Not in the time for which others may be made to wait: go on and try again."""


@dataclass
class Outcome:
    """The result of a rebuild. `stopped`: models that could not apply a fact; their live tables are unchanged."""

    rebuilt: list[str] = field(default_factory=list)
    stopped: list[Stopped] = field(default_factory=list)
    facts: int = 0
    seconds: float = 0.0
    filled_in: float = 0.0
    """Seconds until the swap; the rest is waiting for the last readers of the old tables."""


class Beside:
    """Tables beside the live ones, filled from the beginning of the log in one pass for all models together."""

    def __init__(
        self, bus: Bus, *, owner_url: str, postgres_url: str, models: Sequence[ReadModel], streams: Sequence[str] = LOG
    ) -> None:
        """`postgres_url` only tells the role that is given rights on the new tables."""
        self._bus, self._url, self._role, self._streams = bus, owner_url, role_of(postgres_url), tuple(streams)
        self.models = [model for model in models if model.rebuilt]
        self.targets: list[Target] = [beside(model) for model in self.models]
        self.stopped: list[Stopped] = []
        self.begun = False

    async def open(self) -> Session:
        """A session that holds the lock of every model, with the new tables there.

        The first call makes them empty, later ones (after Postgres was away) go on where the last commit was.
        Raises RebuildRefusedError, AwayError.
        """
        session = await Session.open(self._url, name="temps-rebuild", statement_timeout=_STATEMENT_SECONDS)
        try:
            await self._locked(session)
            if not self.begun:
                await prepare(session, self.models, self._role, self._streams)
                async with session.transaction():
                    for target in self.targets:
                        await begin(session, target, self._role, self._streams)
                self.begun = True
        except BaseException:
            await session.close()
            raise
        return session

    @asynccontextmanager
    async def run(self, session: Session) -> AsyncIterator[ProjectionRun]:
        """From the committed checkpoints on, with sessions of its own. Raises LogDivergedError, BusError, AwayError."""
        known = await standing(session)
        name = "temps-rebuild"
        async with Session.several(2, self._url, name=name, statement_timeout=_STATEMENT_SECONDS) as sessions:
            run = ProjectionRun(self._bus, sessions, self.targets, known.marks, batch=_BATCH)
            try:
                await run.open(durable=False)
                yield run
            finally:
                await run.close()

    async def front(self, streams: Iterable[str]) -> Mapping[str, int]:
        """Where the log ends now. Raises BusError."""
        return {name: (await self._bus.stream_state(name)).last_sequence for name in streams}

    def halted(self, run: ProjectionRun) -> None:
        """Take note of the targets that the run had to leave behind."""
        self.stopped += run.stopped
        run.stopped = []
        self.targets = list(run.targets)

    async def discard(self, session: Session) -> None:
        """Drop what was not swapped in."""
        for model in self.models:
            target = beside(model)
            async with session.transaction():
                await session.run(f"DROP SCHEMA IF EXISTS {target.schema} CASCADE")
                await session.count(SQL["remove_model"], {"key": target.key})

    async def _locked(self, session: Session) -> None:
        for model in self.models:
            if not await try_lock(session, f"temps.rebuild.{model.name}"):
                if self.begun:
                    # Our own lost connection may hold it until the server notices.
                    raise AwayError(f"the lock of {model.name} is not free yet")
                raise RebuildRefusedError(f"read model {model.name} is being rebuilt or compared by somebody else")


async def rebuild(
    bus: Bus,
    *,
    owner_url: str,
    postgres_url: str,
    models: Sequence[ReadModel],
    streams: Sequence[str] = LOG,
    report: Report = lambda _done, _all: None,
) -> Outcome:
    """Rebuild these models and swap them in together. Once begun, absence of NATS or Postgres is waited out.

    Raises RebuildRefusedError, LogDivergedError, StatementError; AwayError before it has begun.
    """
    began = time.monotonic()
    work = Beside(bus, owner_url=owner_url, postgres_url=postgres_url, models=models, streams=streams)
    outcome = Outcome()
    while True:
        try:
            session = await work.open()
            try:
                if await _fill_and_swap(work, session, outcome, report):
                    outcome.filled_in = outcome.filled_in or time.monotonic() - began
                    await _drop_old(session)
                    await work.discard(session)
                    break
            except StatementError:
                await work.discard(session)
                raise
            finally:
                await session.close()
        except (AwayError, BusError, FencedError) as error:
            if not work.begun:
                raise
            log.warning("the rebuild waits: %s", error)
            await asyncio.sleep(_PAUSE)
    outcome.stopped = work.stopped
    outcome.seconds = time.monotonic() - began
    return outcome


async def _fill_and_swap(work: Beside, session: Session, outcome: Outcome, report: Report) -> bool:
    """True when done; False when the live models must be met again from the committed checkpoints."""
    if outcome.rebuilt:
        return True  # swapped, and the connection was lost while dropping the old tables
    try:
        async with work.run(session) as run:
            # A model that stands before a fact it cannot take is not met there: its rebuild has to come past it.
            front = await work.front(run.streams)
            while run.targets:
                await run.step(_WAIT)
                work.halted(run)
                done = sum(run.position(name) for name in run.streams)
                report(done, done + run.behind)
                passed = all(run.position(name) >= last for name, last in front.items())
                if run.targets and passed and run.behind < _NEAR:
                    await _analyze(run.session, work.targets)
                    await _swap(run, outcome)
                    return True
    except NotYetError as error:
        log.info("the swap has to wait: %s", error)
        return False
    return True


async def _swap(run: ProjectionRun, outcome: Outcome) -> None:
    session = run.session
    names = [target.model.name for target in run.targets]
    async with session.transaction():
        await session.run("SET LOCAL lock_timeout TO '10s'; SET LOCAL synchronous_commit TO on")
        cut = positions(await lock(session, names), run.streams)
        await reach(run, cut)
        for target in run.targets:
            model = target.model
            await session.run(
                f"ALTER SCHEMA {model.schema} RENAME TO {await _old_name(session, model.schema)};"
                f"ALTER SCHEMA {target.schema} RENAME TO {model.schema}"
            )
            keys = {"key": model.name, "next": target.key}
            await session.count(SQL["swap_checkpoints"], keys)
            await session.count(SQL["swap_model"], {"key": model.name, "definition": model.definition})
            await session.count(SQL["remove_model"], {"key": target.key})
    outcome.rebuilt = names
    outcome.facts = sum(max(cut[stream], run.position(stream)) for stream in run.streams)


async def reach(run: ProjectionRun, cut: Mapping[str, int]) -> None:
    """While others wait for us: go up to their cut, in the run's own transaction, or raise NotYetError."""
    try:
        if await run.reach(cut, _REACH_SECONDS):
            return
    except (AwayError, FencedError):
        raise
    except Exception as error:  # the next ordinary step meets it again, and finds the fact
        raise NotYetError(f"a fact was refused: {error}") from error
    raise NotYetError("the facts up to the live tables' do not come fast enough")


def positions(marks: Marks, streams: Sequence[str]) -> Mapping[str, int]:
    """How far the furthest of them is in each stream."""
    return {
        stream: max((mark.position for (_, name), mark in marks.items() if name == stream), default=0)
        for stream in streams
    }


async def _analyze(session: Session, targets: Sequence[Target]) -> None:
    """Fresh tables have no statistics, and the first questions after the swap need good plans."""
    for target in targets:
        for (table,) in await session.rows(SQL["tables"], {"schema": target.schema}):
            await session.run(f"ANALYZE {target.schema}.{table}")


async def _old_name(session: Session, schema: str) -> str:
    taken = {row[0] for row in await session.rows(SQL["old_schemas"])}
    return next(name for number in range(1, len(taken) + 2) if (name := f"{schema}_old_{number}") not in taken)


async def _drop_old(session: Session) -> None:
    """Also those that an earlier rebuild had to leave. A cursor that stays open is left to the next rebuild."""
    deadline = time.monotonic() + _DROP_SECONDS
    while (left := [row[0] for row in await session.rows(SQL["old_schemas"])]) and time.monotonic() < deadline:
        await asyncio.sleep(_PAUSE)
        for schema in left:
            try:
                async with session.transaction():
                    await session.run(f"SET LOCAL lock_timeout TO '500ms'; DROP SCHEMA IF EXISTS {schema} CASCADE")
            except AwayError as error:
                if session.broken:
                    raise
                log.info("%s is still being read: %s", schema, error)
    for schema in left:
        if time.monotonic() >= deadline:
            log.warning("%s is still being read; the next rebuild drops it", schema)
