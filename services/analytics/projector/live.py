"""The live projector: keeps every read model at the end of the log, for ever, from one process at a time."""

import asyncio
import logging
import time
from collections.abc import Sequence

from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import LOG
from libs.common.tasks import end
from services.analytics.postgres import AwayError, Session, StatementError, role_of
from services.analytics.projector import metrics
from services.analytics.projector.checkpoints import (
    SQL,
    FencedError,
    Standing,
    Stopped,
    by_distance,
    outdated,
    prepare,
    resume,
    runnable,
    standing,
    try_lock,
    write_divergence,
)
from services.analytics.projector.model import ReadModel, Target, checked
from services.analytics.projector.positions import Positions
from services.analytics.projector.projection_run import ProjectionRun
from services.analytics.projector.stream_reader import LogDivergedError

log = logging.getLogger(__name__)

LOCK = "temps.projector"
BATCH = 4000
STATEMENT_SECONDS = 5.0
_POLL = 1.0
_PACE = 0.2
"""A transaction for one fact costs Postgres as much planning (10 ms) as one for a thousand: under a steady trickle at
most five in a second, unless somebody waits for a fact. The first one after a quiet moment goes at once."""
_FAR = 20_000
"""A model this many facts behind the others catches up by itself, on a connection of its own; nearer ones make the
others' reader go back, which costs less than a second."""
_RETRY = (0.2, 0.5, 1.0, 2.0)
_DIVERGED_PAUSE = 5.0


class _ReloadError(Exception):
    """Something about the checkpoints was changed by an operator or a finished catch-up."""


class Projector:
    """Feeds the read models. Other replicas stand by and take over; `wait_for` works on all of them."""

    def __init__(
        self,
        bus: Bus,
        *,
        postgres_url: str,
        owner_url: str,
        models: Sequence[ReadModel],
        streams: Sequence[str] = LOG,
    ) -> None:
        """The owner's URL is used only to make tables that are missing."""
        self._bus, self._url, self._owner_url = bus, postgres_url, owner_url
        self._models = checked(models)
        self._streams = tuple(streams)
        self._batch = BATCH
        self._prepared = self._retried = self._caught_up = False
        self._positions = Positions()
        self._stopped: dict[str, str] = {}
        self._behind = 0
        self._goal: dict[str, int] = {}
        """Where the log ended when we took the lead: who waits for nothing to be behind waits for ever under load."""
        self._trouble: str | None = "postgres"
        self.state = "starting"
        """`starting`, `standby`, `active` or `log_diverged`."""

    async def run(self) -> None:
        """Project for ever: absence of Postgres or NATS is waited out, damage of the log stops and is told."""
        tries = 0
        while True:
            try:
                await self._project()
            except (FencedError, _ReloadError) as error:
                log.info("reading the checkpoints anew: %s", error)
                pause, tries = 0.0, 0
            except LogDivergedError as error:
                await self._diverged(error)
                pause = _DIVERGED_PAUSE
            except (AwayError, StatementError, BusError) as error:
                pause = _RETRY[min(tries, len(_RETRY) - 1)]
                tries = 0 if self.state == "active" else tries + 1
                self._interrupted(error)
                metrics.RETRIES.inc()
            metrics.ACTIVE.set(0)
            await asyncio.sleep(pause)

    async def wait_for(self, stream: str, sequence: int, timeout: float, *, model: str | None = None) -> bool:
        """Wait until the tables hold the fact at `sequence`: of one model, or of all that are in step."""
        return await self._positions.wait_for(stream, sequence, timeout, model)

    def position(self, stream: str, model: str | None = None) -> int:
        """The last sequence that is in the tables, as far as this process knows."""
        return self._positions.of(stream, model)

    def waiting_for(self) -> list[str]:
        """Why questions cannot be answered now; empty when they can."""
        if self._trouble is not None:
            return [self._trouble]
        return [] if self._caught_up else [f"projections: {self._behind} facts behind"]

    def degraded(self) -> list[str]:
        """Faults that do not keep the service from answering."""
        return [f"read model {name} {text}" for name, text in sorted(self._stopped.items())]

    async def _project(self) -> None:
        if not self._prepared:
            await self._prepare()
        name = "temps-projector"
        try:
            async with Session.several(2, self._url, name=name, statement_timeout=STATEMENT_SECONDS) as sessions:
                await self._stand_by(sessions[0])
                if not self._retried:
                    await resume(sessions[0])
                    self._retried = True
                await self._lead(sessions)
        except StatementError:
            self._prepared = False  # somebody dropped what was there: it is made again
            raise

    async def _prepare(self) -> None:
        session = await Session.open(self._owner_url, name="temps-prepare")
        try:
            await prepare(session, self._models, role_of(self._url), self._streams)
        finally:
            await session.close()
        self._prepared = True

    async def _stand_by(self, session: Session) -> None:
        while not await try_lock(session, LOCK):
            known = await standing(session)
            self._know(known, runnable(known, self._models))
            self._set_state("standby")
            self._caught_up = True
            await self._positions.pause(_POLL)
            if self._positions.waited_for:
                await asyncio.sleep(_POLL / 20)

    async def _lead(self, sessions: Sequence[Session]) -> None:
        known = await standing(sessions[0])
        near, far = by_distance(known, runnable(known, self._models), _FAR)
        self._know(known, near)
        run = ProjectionRun(self._bus, sessions, near, known.marks, batch=self._batch)
        catching_up: asyncio.Task[None] | None = None
        try:
            await run.open(durable=True)
            if not self._caught_up:
                self._goal = {name: (await self._bus.stream_state(name)).last_sequence for name in run.streams}
            if self.state != "log_diverged":
                self._set_state("active")
            if far:
                catching_up = asyncio.create_task(self._catch_up(far, known), name="catch-up")
            await self._follow(run, known.generation, catching_up)
        except AwayError:
            # Perhaps it was the size: a batch that takes longer than a statement may would come again for ever.
            self._batch = max(self._batch // 2, 1)
            raise
        finally:
            await run.close()
            if catching_up is not None:
                await end([catching_up])

    async def _follow(self, run: ProjectionRun, generation: int, catching_up: asyncio.Task[None] | None) -> None:
        polled = time.monotonic()
        while True:
            begun = time.monotonic()
            count = await run.step(_POLL if run.targets and self.state == "active" else 0.0)
            self._progress(run, count)
            if self.state != "active" and (count or not run.behind):
                # Before a hole the checkpoint is right: only what comes behind it shows that the log is whole again.
                await write_divergence(run.session, None)
                metrics.DIVERGED.set(0)
                self._set_state("active")
            now = time.monotonic()
            if now - polled >= _POLL:
                polled = now
                if (await run.session.rows(SQL["generation"]))[0][0] != generation:
                    raise _ReloadError("an operator changed them")
            if catching_up is not None and catching_up.done():
                catching_up.result()
                raise _ReloadError("a read model has caught up")
            if not run.targets:
                await asyncio.sleep(_POLL)
            elif count < run.batch:
                await self._positions.pause(_PACE - (time.monotonic() - begun))

    async def _catch_up(self, targets: Sequence[Target], known: Standing) -> None:
        session = await Session.open(self._url, name="temps-catch-up", statement_timeout=STATEMENT_SECONDS)
        run = ProjectionRun(self._bus, [session], targets, known.marks, batch=self._batch)
        try:
            await run.open(durable=False)
            while run.targets:
                await run.step(_POLL)
                self._positions.known(run.marks)
                for stopped in run.stopped:
                    self._halted(stopped)
                distance = sum(max(self.position(name) - run.position(name), 0) for name in self._streams)
                if distance < _FAR // 2:
                    return
                for target in run.targets:
                    self._stopped[target.key] = f"is catching up: {distance} facts behind the others"
        finally:
            await run.close()
            await session.close()

    def _progress(self, run: ProjectionRun, count: int) -> None:
        self._behind = run.behind
        metrics.BEHIND.set(self._behind)
        for stopped in run.stopped:
            self._halted(stopped)
        if not self._behind or (run.targets and all(run.position(name) >= end for name, end in self._goal.items())):
            self._caught_up = True
        if not count:
            return
        metrics.FACTS.inc(count)
        self._batch = min(self._batch * 2, BATCH)
        run.batch = self._batch
        for (key, stream), mark in run.marks.items():
            metrics.POSITION.labels(key, stream).set(mark.position)
        while run.unknown:
            type_, number = run.unknown.popitem()
            metrics.UNKNOWN.labels(type_).inc(number)
        self._positions.known(run.marks, [target.key for target in run.targets])

    def _know(self, known: Standing, in_step: Sequence[Target]) -> None:
        self._positions.forget()
        self._positions.known(known.marks, [target.key for target in in_step])
        self._stopped = {}
        for model in self._models:
            metrics.STOPPED.labels(model.name).set(0)
            if (stopped := known.stopped.get(model.name)) is not None:
                self._halted(stopped)
            elif outdated(known, model):
                self._stopped[model.name] = "has tables of another version: rebuild it"

    def _halted(self, stopped: Stopped) -> None:
        self._stopped[stopped.key] = f"stopped before {stopped.stream} {stopped.sequence}: {stopped.error}"
        metrics.STOPPED.labels(stopped.key).set(1)

    def _set_state(self, state: str) -> None:
        if state != self.state or self._trouble is not None:
            log.info("projector: %s", state)
        self.state, self._trouble = state, None
        metrics.ACTIVE.set(state == "active")

    def _interrupted(self, error: Exception) -> None:
        # NATS away: the tables are there and questions about the past are answered.
        trouble = None if isinstance(error, BusError) and self._caught_up else _words(error)
        if self.state != "starting" or trouble != self._trouble:
            log.warning("projector waits: %s", error)
        self.state, self._trouble = "starting", trouble

    async def _diverged(self, error: LogDivergedError) -> None:
        if self.state != "log_diverged":
            log.critical("log_diverged: %s; nothing more is projected. Compare with verify-log", error)
        self.state, self._trouble = "log_diverged", f"log_diverged: {error}"
        metrics.DIVERGED.set(1)
        try:
            session = await Session.open(self._url, name="temps-projector")
            try:
                await write_divergence(session, error.stream, error.detail)
            finally:
                await session.close()
        except AwayError as away:
            log.warning("the divergence could not be written down: %s", away)


def _words(error: Exception) -> str:
    if isinstance(error, BusError):
        return "nats"
    return "postgres" if isinstance(error, AwayError) else f"postgres: {error}"
