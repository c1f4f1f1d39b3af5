"""Rebuilds beside the live tables: equal row for row, swapped in while facts keep coming and readers keep reading."""

import asyncio
import io
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from deploy.local.servers import NatsAddress
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.streams import EVENTS, TRACKING
from services.analytics.operate import DIFFERS, DONE, IMPOSSIBLE, operate
from services.analytics.postgres import Database as Pool
from services.analytics.postgres import Session
from services.analytics.projector import Outcome, ReadModel, RebuildRefusedError, compare, rebuild
from services.analytics.projector.checkpoints import try_lock
from tests.backing import Database
from tests.support.projecting import (
    LEDGER,
    MODELS,
    POISON,
    TALLY,
    assert_each_fact_once,
    fact,
    log_at,
    numbered,
    projecting,
    publish,
    reached,
    rows,
    run,
    until,
)


async def _rebuild(bus: Bus, database: Database, models: Sequence[ReadModel] = MODELS) -> Outcome:
    return await rebuild(bus, owner_url=database.owner_url, postgres_url=database.url, models=models)


async def _compare(bus: Bus, database: Database, models: Sequence[ReadModel] = MODELS) -> dict[str, list[str]]:
    return dict(await compare(bus, owner_url=database.owner_url, postgres_url=database.url, models=models))


@asynccontextmanager
async def _facts_coming(url: str, start: int) -> AsyncIterator[None]:
    """Facts on both streams for as long as the block lasts."""
    stop = asyncio.Event()

    async def come() -> None:
        at = start
        while not stop.is_set():
            await publish(url, numbered(50, start=at))
            await publish(url, numbered(20, stream=TRACKING, start=at + 1_000_000))
            at += 50

    task = asyncio.create_task(come())
    try:
        yield
    finally:
        stop.set()
        await task


async def test_a_rebuild_equals_the_live_tables_while_facts_keep_coming_and_no_reader_notices(
    clean_nats: NatsAddress, database: Database
) -> None:
    await_reading = asyncio.Event()
    pool = Pool(database.url, name="readers", search_path=("log", "rm_ledger", "rm_tally"))
    await pool.open()
    seen: list[int] = []

    async def read() -> None:
        while not await_reading.is_set():
            async with pool.transaction() as transaction:
                row = await transaction.fetch_one("SELECT count(*) AS n FROM ledger WHERE stream = %s", [EVENTS])
            assert row is not None
            seen.append(row["n"])
            await asyncio.sleep(0)

    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(3000))
        await reached(projector, bus)
        readers = [asyncio.create_task(read()) for _ in range(3)]
        async with _facts_coming(clean_nats.url, 3000):
            for _ in range(3):
                outcome = await _rebuild(bus, database)
                assert sorted(outcome.rebuilt) == ["ledger", "tally"]
                assert outcome.stopped == []
        await reached(projector, bus)
        await_reading.set()
        await asyncio.gather(*readers)
        assert len(seen) > 10
        assert min(seen) >= 3000, "a reader saw a half-filled table"
        await assert_each_fact_once(database, bus)
        assert await _compare(bus, database) == {"ledger": [], "tally": []}
        assert projector.degraded() == []
        left = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rm%' ORDER BY 1"
        assert await rows(database.owner_url, left) == [("rm_ledger",), ("rm_tally",)]
    await pool.close()


async def test_a_cursor_on_the_old_tables_is_read_to_its_end(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(500))
        await reached(projector, bus)
        session = await Session.open(database.url, name="slow reader")
        chunks = session.stream("SELECT sequence FROM rm_ledger.ledger ORDER BY 1", size=100)
        read = [row[0] for row in await anext(chunks)]
        rebuilding = asyncio.create_task(_rebuild(bus, database))
        old = "SELECT 1 FROM pg_namespace WHERE nspname = 'rm_ledger_old_1'"
        await until(lambda: rows(database.owner_url, old))
        async for chunk in chunks:
            read += [row[0] for row in chunk]
        assert read == list(range(1, 501))
        await session.close()
        await rebuilding
        assert await rows(database.owner_url, old) == []


async def test_dropped_read_models_come_back_the_same(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(700))
        await reached(projector, bus)
        before = await rows(database.url, "SELECT * FROM rm_tally.tally ORDER BY 1, 2")
        await run(database.owner_url, "DROP SCHEMA rm_tally CASCADE; DROP SCHEMA rm_ledger CASCADE")
        await _rebuild(bus, database)
        await publish(clean_nats.url, numbered(5, start=700))
        await reached(projector, bus)
        await until(lambda: not projector.degraded())
        await assert_each_fact_once(database, bus)
        assert await rows(database.url, "SELECT * FROM rm_tally.tally ORDER BY 1, 2 LIMIT 3") == before[:3]


async def test_a_mended_model_is_rebuilt_past_the_fact_that_stopped_it(
    clean_nats: NatsAddress, database: Database
) -> None:
    mended = replace(TALLY, fold=lambda facts: TALLY.fold([each._replace(data={}) for each in facts]))
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, [*numbered(99), fact(99, trouble=POISON), *numbered(100, start=100)])
        await until(projector.degraded)
        outcome = await _rebuild(bus, database, [TALLY])
        assert [(stopped.key, stopped.sequence) for stopped in outcome.stopped] == [("tally/next", 100)]
        assert outcome.rebuilt == []
        assert await rows(database.url, "SELECT sum(n)::int FROM rm_tally.tally") == [(99,)]
        await _rebuild(bus, database, [mended])
        await until(lambda: not projector.degraded())
        await publish(clean_nats.url, numbered(10, start=200))
        await reached(projector, bus)
        await assert_each_fact_once(database, bus)


async def test_tables_of_another_version_stand_still_until_they_are_rebuilt(
    clean_nats: NatsAddress, database: Database
) -> None:
    create = TALLY.statements["create"].replace("n bigint", "extra int, n bigint")
    newer = replace(
        TALLY,
        statements={**TALLY.statements, "create": create}
        | {"apply": TALLY.statements["apply"].replace("SELECT *", "SELECT subject, type, 7, n")},
    )
    async with log_at(clean_nats.url) as bus:
        await publish(clean_nats.url, numbered(50))
        async with projecting(bus, database) as projector:
            await reached(projector, bus)
        await publish(clean_nats.url, numbered(50, start=50))
        async with projecting(bus, database, (*MODELS[:2], newer)) as projector:
            await reached(projector, bus, model="ledger")
            assert projector.degraded() == ["read model tally has tables of another version: rebuild it"]
            await _rebuild(bus, database, [newer])
            await until(lambda: not projector.degraded())
            await publish(clean_nats.url, numbered(50, start=100))
            await reached(projector, bus)
            assert await rows(database.url, "SELECT sum(n)::int, min(extra) FROM rm_tally.tally") == [(150, 7)]


async def test_a_row_that_was_tampered_with_is_found_by_comparing(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(200))
        await reached(projector, bus)
        await run(
            database.url,
            "UPDATE rm_ledger.ledger SET times = 2 WHERE sequence = 17;"
            "DELETE FROM rm_ledger.ledger WHERE sequence = 18",
        )
        found = await _compare(bus, database)
        assert found["tally"] == []
        assert found["ledger"][0] == "ledger: 1 rows only in rm_ledger"
        assert "ledger: 2 rows only in rm_ledger_next" in found["ledger"]


async def test_one_rebuild_of_a_model_at_a_time(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        session = await Session.open(database.owner_url, name="other")
        assert await try_lock(session, "temps.rebuild.ledger")
        with pytest.raises(RebuildRefusedError, match="ledger"):
            await _rebuild(bus, database, [LEDGER])
        await session.close()


async def test_a_rebuild_goes_on_after_its_connection_was_lost(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(12_000))
        await reached(projector, bus)
        rebuilding = asyncio.create_task(_rebuild(bus, database))
        ended = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'temps-rebuild'"
            " AND EXISTS (SELECT 1 FROM projection.checkpoint WHERE model = 'ledger/next' AND position > 0)"
        )
        await until(lambda: rows(database.superuser_url, ended))
        assert sorted((await rebuilding).rebuilt) == ["ledger", "tally"]
        await assert_each_fact_once(database, bus)


# -- the operator's commands ---------------------------------------------------------------------------------------


async def _operate(database: Database, nats: NatsAddress, *arguments: str) -> tuple[int, str]:
    environment = {
        "TEMPS_NATS_URL": nats.url,
        "TEMPS_POSTGRES_URL": database.url,
        "TEMPS_POSTGRES_OWNER_URL": database.owner_url,
    }
    out = io.StringIO()
    status = await asyncio.to_thread(operate, arguments, MODELS, environment, out)
    return status, out.getvalue()


async def test_the_operators_commands_say_how_it_went(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(300))
        await reached(projector, bus)
        assert await _operate(database, clean_nats, "compare", "all") == (
            DONE,
            "ledger: equal to a rebuild, row for row\ntally: equal to a rebuild, row for row\n",
        )
        status, said = await _operate(database, clean_nats, "rebuild", "ledger")
        assert (status, said.startswith("rebuilt ledger from 300 facts")) == (DONE, True)
        status, said = await _operate(database, clean_nats, "verify-log")
        assert (status, said) == (DONE, f"{EVENTS}: whole (300 equal)\n{TRACKING}: whole (no facts)\n")
        assert (await _operate(database, clean_nats, "status"))[0] == DONE
        assert (await _operate(database, clean_nats, "resume", "tally")) == (DONE, "tally: tries again\n")
        await publish(clean_nats.url, [fact(300, trouble=POISON)])
        await until(projector.degraded)
        status, said = await _operate(database, clean_nats, "status")
        assert (status, "STOPPED before MAIL_EVENTS 301" in said) == (DIFFERS, True)
        status, said = await _operate(database, clean_nats, "rebuild", "all")
        assert status == DIFFERS
        assert "rebuilt ledger" in said
        assert "tally was not rebuilt: it cannot take MAIL_EVENTS 301" in said


async def test_the_operator_is_told_when_a_part_is_away(clean_nats: NatsAddress, database: Database) -> None:
    nowhere = replace(database, url="postgresql://temps_analytics@127.0.0.1:1/x")
    status, said = await _operate(nowhere, clean_nats, "verify-log")
    assert (status, said.startswith("not done: ")) == (IMPOSSIBLE, True)
