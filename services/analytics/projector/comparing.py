"""The proof of a read model: folded anew from the facts it gives the same rows as the live tables have."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import LOG
from services.analytics.postgres import AwayError, Session
from services.analytics.projector.checkpoints import SQL, FencedError, lock, standing
from services.analytics.projector.model import ReadModel
from services.analytics.projector.projection_run import ProjectionRun
from services.analytics.projector.rebuilding import Beside, NotYetError, Report, positions, reach

log = logging.getLogger(__name__)

_NEAR = 5000
_WAIT = 0.5
_PAUSE = 1.0
_HOUR = 3600.0
_SHOWN = 5


async def compare(
    bus: Bus,
    *,
    owner_url: str,
    postgres_url: str,
    models: Sequence[ReadModel],
    streams: Sequence[str] = LOG,
    report: Report = lambda _done, _all: None,
) -> Mapping[str, list[str]]:
    """Model → differences between its live tables and a fold from the beginning at the same cut; [] is equal.

    The live projector is held up only for the moment in which both are at the same fact.
    Raises RebuildRefusedError, LogDivergedError, StatementError; AwayError before it has begun.
    """
    work = Beside(bus, owner_url=owner_url, postgres_url=postgres_url, models=models, streams=streams)
    while True:
        try:
            session = await work.open()
            try:
                found = await _compare(work, session, owner_url, report)
                await work.discard(session)
                return found
            finally:
                await session.close()
        except (AwayError, BusError, FencedError, NotYetError) as error:
            if not work.begun:
                raise
            log.warning("the comparison waits: %s", error)
            await asyncio.sleep(_PAUSE)


async def differences(session: Session, left: str, right: str) -> list[str]:
    """The differences between the tables of two schemas, as lines for people. Rows are compared as text."""
    tables = {
        schema: {row[0] for row in await session.rows(SQL["tables"], {"schema": schema})} for schema in (left, right)
    }
    lines = [f"{table} is only in one of {left} and {right}" for table in sorted(tables[left] ^ tables[right])]
    for table in sorted(tables[left] & tables[right]):
        for here, there in ((left, right), (right, left)):
            only = await session.rows(
                f"SELECT count(*) OVER (), line FROM (SELECT t::text AS line FROM {here}.{table} t"  # noqa: S608 - our own names
                f" EXCEPT ALL SELECT t::text FROM {there}.{table} t) AS alone ORDER BY line LIMIT {_SHOWN}"
            )
            if only:
                lines.append(f"{table}: {only[0][0]} rows only in {here}")
                lines += [f"  {line}" for _, line in only]
    return lines


async def _compare(work: Beside, session: Session, owner_url: str, report: Report) -> dict[str, list[str]]:
    names = [model.name for model in work.models]
    async with work.run(session) as run:
        while run.targets:
            known = await standing(session)
            marks = {place: mark for place, mark in known.marks.items() if place[0] in names}
            cut = positions(marks, run.streams)
            await run.step(_WAIT, limit=cut)
            work.halted(run)
            done, there = sum(run.position(name) for name in run.streams), sum(cut.values())
            report(done, there)
            if there - done < _NEAR:
                break
        reader = await Session.open(owner_url, name="temps-compare", statement_timeout=_HOUR)
        try:
            return await _at_the_same_cut(work, run, owner_url, reader)
        finally:
            await reader.close()


async def _at_the_same_cut(work: Beside, run: ProjectionRun, owner_url: str, reader: Session) -> dict[str, list[str]]:
    """Hold the live checkpoints while both sides are made equal and a snapshot is taken; compare after that."""
    found = {stopped.key.removesuffix("/next"): [f"cannot be folded: {stopped.error}"] for stopped in work.stopped}
    names = [target.model.name for target in run.targets]
    holder = await Session.open(owner_url, name="temps-compare-hold")
    try:
        await holder.run("BEGIN")
        held = await lock(holder, names)
        cut = positions(held, run.streams)
        async with run.session.transaction():
            await reach(run, cut)
        await reader.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await reader.rows("SELECT 1")  # the snapshot is taken by the first statement
        await holder.run("ROLLBACK")
    finally:
        await holder.close()
    for target in run.targets:
        model = target.model
        behind = [stream for stream in run.streams if held[model.name, stream].position != cut[stream]]
        if behind:
            found[model.name] = [f"is behind the others in {', '.join(behind)}: compare it alone"]
        else:
            found[model.name] = await differences(reader, model.schema, target.schema)
    await reader.run("COMMIT")
    return found
