"""For tests of the projector: a log that is quickly filled, and two small read models that show every mistake."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import nats

from libs.common.facts import Envelope, timestamp
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.streams import EVENTS, LOG
from services.analytics.log_copy import fold as facts
from services.analytics.postgres import Session
from services.analytics.projector import Projector, ReadModel, read_model
from tests.backing import Database

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
POISON = "poison"

FACTS = read_model(facts)


def _fold_ledger(envelopes: Sequence[Envelope]) -> dict[str, list[tuple[Any, ...]]]:
    return {"stage_ledger": [(fact.stream, fact.sequence, fact.id) for fact in envelopes]}


def _fold_tally(envelopes: Sequence[Envelope]) -> dict[str, list[tuple[Any, ...]]]:
    counts: Counter[tuple[str, str]] = Counter()
    for fact in envelopes:
        if fact.data.get("trouble") == POISON:
            raise ValueError("this fact cannot be folded")
        counts[fact.subject, fact.type] += 1
    return {"stage_tally": [(subject, type_, n) for (subject, type_), n in counts.items()]}


LEDGER = ReadModel(
    "ledger",
    _fold_ledger,
    {"stage_ledger": ("stream", "sequence", "id")},
    {
        "create": "CREATE TABLE ledger"
        " (stream text, sequence bigint, id text, times int, PRIMARY KEY (stream, sequence))",
        "stage": "CREATE TEMP TABLE stage_ledger (stream text, sequence bigint, id text) ON COMMIT DELETE ROWS",
        # Not idempotent by intention: a fact applied twice shows.
        "apply": "INSERT INTO ledger SELECT stream, sequence, id, 1 FROM stage_ledger"
        " ON CONFLICT (stream, sequence) DO UPDATE SET times = ledger.times + 1",
    },
)
"""Every fact, and how many times it was applied."""

TALLY = ReadModel(
    "tally",
    _fold_tally,
    {"stage_tally": ("subject", "type", "n")},
    {
        "create": "CREATE TABLE tally (subject text, type text, n bigint NOT NULL, PRIMARY KEY (subject, type))",
        "stage": "CREATE TEMP TABLE stage_tally (subject text, type text, n bigint) ON COMMIT DELETE ROWS",
        "apply": "INSERT INTO tally SELECT * FROM stage_tally"
        " ON CONFLICT (subject, type) DO UPDATE SET n = tally.n + excluded.n",
    },
)
"""How many facts of each type an email has; cannot fold a fact whose data says so."""

MODELS = (FACTS, LEDGER, TALLY)


def fact(number: int, *, stream: str = EVENTS, trouble: str | None = None) -> Envelope:
    """The number-th fact of a made-up log: small, on a real subject."""
    event = "delivered" if stream == EVENTS else "opened"
    email = _id(number // 5, 1)
    return Envelope(
        id=str(_id(number, 2)),
        source="/services/test",
        type=f"email.{event}.v1",
        subject=f"email/{email}",
        time=timestamp(BEGINNING + timedelta(milliseconds=number)),
        data={"email_id": str(email), "number": number, **({"trouble": trouble} if trouble else {})},
        actor={"id": "test", "kind": "system"},
        log_subject=f"mail.email.{number % 16:02x}.{event}" if stream == EVENTS else f"track.{number % 16:02x}.{event}",
    )


def _id(number: int, kind: int) -> UUID:
    """A UUIDv7 that is the same each time."""
    return UUID(int=(1_700_000_000_000 + number) << 80 | 0x7 << 76 | 0x2 << 62 | kind << 32 | number)


async def publish(url: str, facts: Sequence[Envelope], *, pending: int = 2000) -> None:
    """Append many facts quickly; every one is acknowledged when this returns."""
    connection = await nats.connect(url)
    try:
        jetstream = connection.jetstream(publish_async_max_pending=pending)
        acks: list[asyncio.Future[Any]] = []
        for each in facts:
            headers = {"Nats-Msg-Id": each.id} if each.id else None
            acks.append(await jetstream.publish_async(each.log_subject, each.encode(), headers=headers))
            if len(acks) >= pending // 2:
                await asyncio.wait_for(asyncio.gather(*acks), 30)
                acks.clear()
        await asyncio.wait_for(asyncio.gather(*acks), 30)
    finally:
        await connection.close()


@asynccontextmanager
async def log_at(url: str) -> AsyncIterator[Bus]:
    """A connected bus, and the streams of the log on its server."""
    bus = Bus(url, name="test")
    await bus.start()
    try:
        assert await bus.wait_connected(10)
        await bootstrap(bus, store_bytes=1 << 33)
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def projecting(bus: Bus, database: Database, models: Sequence[ReadModel] = MODELS) -> AsyncIterator[Projector]:
    """A projector at work; what made it end early is raised."""
    projector = Projector(bus, postgres_url=database.url, owner_url=database.owner_url, models=models)
    task = asyncio.create_task(projector.run())
    try:
        yield projector
    finally:
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=15)
        assert done, "the projector does not stop"
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error


async def reached(projector: Projector, bus: Bus, *, model: str | None = None, timeout: float = 30.0) -> None:
    """Wait until everything that is in the log now is in the tables."""
    for stream in LOG:
        last = (await bus.stream_state(stream)).last_sequence
        assert await projector.wait_for(stream, last, timeout, model=model), (
            f"{stream}: {projector.position(stream, model)} of {last}; {projector.state} {projector.waiting_for()}"
        )


async def until(condition: Callable[[], Any | Awaitable[Any]], timeout: float = 15.0) -> Any:
    """Wait until the condition gives something true, and give that."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


async def rows(url: str, statement: str) -> list[tuple[Any, ...]]:
    """What a statement gives, on a connection of its own."""
    session = await Session.open(url, name="test")
    try:
        return await session.rows(statement)
    finally:
        await session.close()


async def run(url: str, statements: str) -> None:
    """Change something, on a connection of its own."""
    session = await Session.open(url, name="test")
    try:
        await session.run(statements)
    finally:
        await session.close()


async def assert_each_fact_once(database: Database, bus: Bus) -> None:
    """The ledger holds every fact of the log exactly once, and the tally adds up to it."""
    for stream in LOG:
        last = (await bus.stream_state(stream)).last_sequence
        found = await rows(
            database.url,
            f"SELECT count(*), coalesce(max(sequence), 0), coalesce(max(times), 1) FROM rm_ledger.ledger"  # noqa: S608
            f" WHERE stream = '{stream}'",
        )
        assert found == [(last, last, 1)], f"{stream} has {last} facts"
        copied = await rows(database.url, f"SELECT count(*) FROM log.facts WHERE stream = '{stream}'")  # noqa: S608
        assert copied == [(last,)]
    total = sum([(await bus.stream_state(stream)).last_sequence for stream in LOG])
    assert await rows(database.url, "SELECT coalesce(sum(n), 0)::bigint FROM rm_tally.tally") == [(total,)]


def numbered(count: int, *, stream: str = EVENTS, start: int = 0) -> list[Envelope]:
    return [fact(number, stream=stream) for number in range(start, start + count)]


def foreign(original: Envelope) -> Envelope:
    """The same place in life, another fact."""
    return original._replace(id=str(_id(original.data["number"], 3)))
