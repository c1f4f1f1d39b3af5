"""How far each read model is: written in the same transaction as its rows, and fenced against a second writer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.analytics.postgres import Session, load_statements
from services.analytics.projector.model import ReadModel, Target, live

SQL = load_statements(Path(__file__).with_suffix(".sql"))


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a stream: the sequence, the id of the fact there, and the stream's time of birth."""

    position: int = 0
    fact_id: str = ""
    created: str = ""


@dataclass(frozen=True, slots=True)
class Move:
    """A checkpoint that goes from `old` to `mark`."""

    key: str
    stream: str
    old: int
    mark: Mark


@dataclass(frozen=True, slots=True)
class Stopped:
    """A read model that stands before a fact it cannot take."""

    key: str
    stream: str
    sequence: int
    error: str


@dataclass(frozen=True)
class Standing:
    """All checkpoints at one moment."""

    marks: dict[tuple[str, str], Mark]
    definitions: dict[str, str]
    stopped: dict[str, Stopped]
    generation: int


class FencedError(Exception):
    """A checkpoint is not where we left it: another writer, a swap, or our own commit that we did not hear of."""


async def prepare(session: Session, models: Sequence[ReadModel], role: str, streams: Sequence[str]) -> None:
    """Make what is missing: the schema `projection`, and each model's tables, from nothing. As the owner.

    Tables whose definition has changed stay as they are: they are rebuilt by an operator, beside the live ones.
    """
    async with session.transaction():
        await session.rows(SQL["lock_here"], {"name": "temps.prepare"})
        await session.run(SQL["create"] + _grants("projection", role))
        known = {row[0] for row in await session.rows(SQL["models"])}
        for model in models:
            there = (await session.rows(SQL["schema_exists"], {"schema": model.schema}))[0][0]
            if not (there and model.name in known):
                await begin(session, live(model), role, streams)
            elif not model.rebuilt:
                await create_tables(session, live(model), role)
            for stream in streams:
                await session.count(SQL["ensure_checkpoint"], {"key": model.name, "stream": stream})


async def begin(session: Session, target: Target, role: str, streams: Sequence[str]) -> None:
    """Empty tables and checkpoints at the beginning. What cannot be rebuilt is never dropped, only filled again."""
    if target.model.rebuilt:
        await session.run(f"DROP SCHEMA IF EXISTS {target.schema} CASCADE")
    await create_tables(session, target, role)
    definition = target.model.definition
    await session.count(SQL["add_model"], {"key": target.key, "definition": definition})
    for stream in streams:
        await session.count(SQL["add_checkpoint"], {"key": target.key, "stream": stream})


async def create_tables(session: Session, target: Target, role: str) -> None:
    """The schema, the model's tables in it, and the service's rights on them; inside the caller's transaction."""
    await session.run(
        f"CREATE SCHEMA IF NOT EXISTS {target.schema}; SET LOCAL search_path TO {target.schema};"
        f"{target.model.statements['create']};{_grants(target.schema, role)}"
    )


async def standing(session: Session) -> Standing:
    """Everything that is known about how far we are."""
    generation = (await session.rows(SQL["generation"]))[0][0]
    rows = await session.rows(SQL["models"])
    return Standing(
        marks=_marks(await session.rows(SQL["checkpoints"])),
        definitions={row[0]: row[1] for row in rows},
        stopped={row[0]: Stopped(row[0], row[3], row[4], row[5]) for row in rows if row[2]},
        generation=generation,
    )


async def lock(session: Session, keys: Iterable[str]) -> dict[tuple[str, str], Mark]:
    """Hold these checkpoints where they are until the transaction ends: their writer waits."""
    return _marks(await session.rows(SQL["lock_checkpoints"], {"keys": list(keys)}))


async def move(session: Session, moves: Sequence[Move]) -> None:
    """Move all of them or raise FencedError; inside the caller's transaction, before its rows."""
    touched = await session.count(
        SQL["move"],
        {
            "models": [move.key for move in moves],
            "streams": [move.stream for move in moves],
            "old": [move.old for move in moves],
            "position": [move.mark.position for move in moves],
            "fact_id": [move.mark.fact_id for move in moves],
            "created": [move.mark.created for move in moves],
        },
    )
    if touched != len(moves):
        raise FencedError(f"{len(moves) - touched} of {len(moves)} checkpoints are not where they were left")


async def stop(session: Session, stopped: Stopped) -> None:
    """Write down where a model stands and why."""
    await session.count(
        SQL["stop"],
        {
            "key": stopped.key,
            "stream": stopped.stream,
            "sequence": stopped.sequence,
            "error": stopped.error[:2000].replace("\0", "\\0"),
        },
    )


async def resume(session: Session, name: str | None = None) -> int:
    """Let a stopped model (or all of them) try again; how many there were."""
    if name is None:
        return await session.count(SQL["resume_all"])
    return await session.count(SQL["resume"], {"key": name})


def outdated(known: Standing, model: ReadModel) -> bool:
    """True if its tables come from another version of its `create`; they must be rebuilt before use."""
    return model.rebuilt and known.definitions.get(model.name) != model.definition


def runnable(known: Standing, models: Sequence[ReadModel]) -> list[Target]:
    """The live tables that can be fed."""
    return [live(model) for model in models if model.name not in known.stopped and not outdated(known, model)]


def by_distance(known: Standing, targets: Sequence[Target], far: int) -> tuple[list[Target], list[Target]]:
    """The targets near the front, and the ones more than `far` facts behind it."""
    total = {
        target: sum(mark.position for (key, _), mark in known.marks.items() if key == target.key) for target in targets
    }
    front = max(total.values(), default=0)
    return (
        [target for target in targets if front - total[target] <= far],
        [target for target in targets if front - total[target] > far],
    )


async def write_divergence(session: Session, stream: str | None, detail: str = "") -> None:
    """Write down that a stream is another one than was projected, or (without a stream) that all are whole."""
    if stream is None:
        await session.run(SQL["clear_diverged"])
    else:
        await session.count(SQL["set_diverged"], {"stream": stream, "diverged": detail})


async def try_lock(session: Session, name: str) -> bool:
    """An advisory lock for as long as the session lives."""
    return bool((await session.rows(SQL["try_lock"], {"name": name}))[0][0])


def _marks(rows: Iterable[tuple[Any, ...]]) -> dict[tuple[str, str], Mark]:
    return {(model, stream): Mark(*rest) for model, stream, *rest in rows}


def _grants(schema: str, role: str) -> str:
    name = '"' + role.replace('"', '""') + '"'
    return (
        f";GRANT USAGE ON SCHEMA {schema} TO {name};"
        f"GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA {schema} TO {name}"
    )
