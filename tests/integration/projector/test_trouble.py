"""What must stop the projector, what must stop one read model alone, and what must stop nothing."""

import asyncio
import signal
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from libs.common.errors import UnavailableError
from libs.common.facts import Envelope
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.streams import EVENTS, TRACKING
from services.analytics.postgres import Database as Pool
from services.analytics.projector import ReadModel
from tests.backing import Database
from tests.integration.projector.conftest import OwnPostgres
from tests.support.projecting import (
    FACTS,
    LEDGER,
    MODELS,
    POISON,
    TALLY,
    assert_each_fact_once,
    fact,
    foreign,
    log_at,
    numbered,
    projecting,
    publish,
    reached,
    rows,
    run,
    until,
)

_STOPPED = "SELECT name, stream, sequence, tries FROM projection.model WHERE stopped"
_MENDED = replace(TALLY, fold=lambda facts: TALLY.fold([each._replace(data={}) for each in facts]))


@pytest.mark.parametrize("place", [1, 2, 700, 1499, 1500])
async def test_a_poison_fact_stops_its_model_before_it_and_no_other(
    clean_nats: NatsAddress, database: Database, place: int
) -> None:
    facts = numbered(1500)
    facts[place - 1] = fact(place - 1, trouble=POISON)
    async with log_at(clean_nats.url) as bus:
        await publish(clean_nats.url, facts)
        await publish(clean_nats.url, numbered(20, stream=TRACKING, start=5000))
        async with projecting(bus, database) as projector:
            await reached(projector, bus, model="ledger")
            await reached(projector, bus, model="facts")
            assert await rows(database.url, _STOPPED) == [("tally", EVENTS, place, 1)]
            assert projector.position(EVENTS, "tally") == place - 1
            assert projector.waiting_for() == []
            [word] = projector.degraded()
            assert f"tally stopped before {EVENTS} {place}" in word
            await reached(projector, bus)  # those that stand still are not waited for
        async with projecting(bus, database):  # a restart tries it again
            await until(lambda: _tries(database, 2))
        async with projecting(bus, database, (FACTS, LEDGER, _MENDED)) as projector:
            await reached(projector, bus, model="tally")
            assert projector.degraded() == []
        await assert_each_fact_once(database, bus)


async def _tries(database: Database, number: int) -> bool:
    return (
        await rows(
            database.url,
            "SELECT 1 FROM projection.model WHERE name = 'tally' AND tries = "  # noqa: S608
            f"{number}",
        )
        != []
    )


async def test_a_row_that_postgres_refuses_is_poison_as_well(clean_nats: NatsAddress, database: Database) -> None:
    def with_nul(facts: Sequence[Envelope]) -> dict[str, list[tuple[Any, ...]]]:
        folded = TALLY.fold(facts)
        return {name: [("\0", *row[1:]) if _has_99(facts) else row for row in rows_] for name, rows_ in folded.items()}

    spoiled = replace(TALLY, fold=with_nul)
    refused = ReadModel(
        "checked",
        LEDGER.fold,
        {"stage_checked": ("stream", "sequence", "id")},
        {
            "create": "CREATE TABLE checked (sequence bigint CHECK (sequence <> 150))",
            "stage": "CREATE TEMP TABLE stage_checked (stream text, sequence bigint, id text) ON COMMIT DELETE ROWS",
            "apply": "INSERT INTO checked SELECT sequence FROM stage_checked",
        },
    )
    refused = replace(refused, fold=lambda facts: {"stage_checked": LEDGER.fold(facts)["stage_ledger"]})
    async with log_at(clean_nats.url) as bus:
        await publish(clean_nats.url, numbered(300))
        async with projecting(bus, database, (FACTS, LEDGER, spoiled, refused)) as projector:
            await reached(projector, bus)
            found = [(name, sequence) for name, _, sequence, _ in await rows(database.url, _STOPPED)]
            assert sorted(found) == [("checked", 150), ("tally", 100)]
            assert await rows(database.url, "SELECT count(*) FROM rm_checked.checked") == [(149,)]


def _has_99(facts: Sequence[Envelope]) -> bool:
    return any(each.data["number"] == 99 for each in facts)


async def test_a_message_that_is_no_fact_stops_every_model_before_it(
    clean_nats: NatsAddress, database: Database
) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(10))
        await bus.publish("mail.email.00.delivered", b"not json")
        await publish(clean_nats.url, numbered(10, start=10))
        await until(lambda: len(projector.degraded()) == len(MODELS))
        assert {row[2] for row in await rows(database.url, _STOPPED)} == {11}
        assert await rows(database.url, "SELECT count(*) FROM log.facts") == [(10,)]


async def test_facts_of_unknown_types_are_copied_and_stop_nobody(clean_nats: NatsAddress, database: Database) -> None:
    strange = fact(1)._replace(type="email.teleported.v9")
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, [fact(0), strange, fact(2)])
        await reached(projector, bus)
        assert await rows(database.url, "SELECT sequence FROM log.facts WHERE type = 'email.teleported.v9'") == [(2,)]
        assert projector.degraded() == []


# -- the log is another one ---------------------------------------------------------------------------------------


async def test_a_stream_that_was_born_anew_stops_everything(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await publish(clean_nats.url, numbered(20))
        async with projecting(bus, database) as projector:
            await reached(projector, bus)
        await bus.api(f"STREAM.DELETE.{EVENTS}")
    async with log_at(clean_nats.url) as bus:
        await publish(clean_nats.url, numbered(30))
        await _assert_diverges(bus, database, "born", 20)


async def test_a_log_that_ends_before_the_checkpoint_stops_everything(
    clean_nats: NatsAddress, database: Database
) -> None:
    async with log_at(clean_nats.url) as bus:
        await _projected(bus, clean_nats, database, 20)
        # The tail that was lost: what we have seen is beyond what is there.
        await _falsify(database, "position", "25")
        await _assert_diverges(bus, database, "its tail is lost", 20)


async def test_another_fact_at_the_checkpoint_stops_everything(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await _projected(bus, clean_nats, database, 20)
        other = foreign(fact(1)).id
        await _falsify(database, "fact_id", other)
        await publish(clean_nats.url, numbered(5, start=20))
        await _assert_diverges(bus, database, f"projected was {other}", 20)


async def test_a_hole_in_the_log_stops_everything_before_it(
    clean_nats: NatsAddress, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.analytics.projector.live._DIVERGED_PAUSE", 0.1)
    async with log_at(clean_nats.url) as bus:
        await publish(clean_nats.url, numbered(40))
        for sequence in (31, 32):
            await bus.api(f"STREAM.MSG.DELETE.{EVENTS}", {"seq": sequence})
        await _assert_diverges(bus, database, "facts 31 to 32 are missing", 30)
        async with projecting(bus, database) as projector:  # and it stays so, however often it looks again
            await until(lambda: projector.state == "log_diverged")
            for _ in range(50):
                assert (projector.state, len(projector.waiting_for())) == ("log_diverged", 1)
                await asyncio.sleep(0.01)


async def test_it_goes_on_when_the_log_is_whole_again(
    clean_nats: NatsAddress, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.analytics.projector.live._DIVERGED_PAUSE", 0.1)
    async with log_at(clean_nats.url) as bus:
        await _projected(bus, clean_nats, database, 20)
        await _falsify(database, "fact_id", "other")
        async with projecting(bus, database) as projector:
            await until(lambda: projector.state == "log_diverged")
            await _falsify(database, "fact_id", fact(19).id)
            await until(lambda: projector.waiting_for() == [])
            await publish(clean_nats.url, numbered(5, start=20))
            await reached(projector, bus)
            assert await rows(database.url, "SELECT * FROM projection.log_state") == []
        await assert_each_fact_once(database, bus)


async def _projected(bus: Bus, nats: NatsAddress, database: Database, count: int) -> None:
    await publish(nats.url, numbered(count))
    async with projecting(bus, database) as projector:
        await reached(projector, bus)


async def _falsify(database: Database, column: str, value: str) -> None:
    await run(
        database.superuser_url,
        f"UPDATE projection.checkpoint SET {column} = '{value}' WHERE stream = '{EVENTS}'",  # noqa: S608 - our words
    )


async def _assert_diverges(bus: Bus, database: Database, word: str, copied: int) -> None:
    async with projecting(bus, database) as projector:
        await until(lambda: projector.state == "log_diverged")
        [why] = projector.waiting_for()
        assert why.startswith("log_diverged")
        assert word in why
        written_down = "SELECT stream, diverged FROM projection.log_state"
        [(stream, written)] = await until(lambda: rows(database.url, written_down))
        assert (stream, word in written) == (EVENTS, True)
        assert await rows(database.url, "SELECT count(*) FROM rm_ledger.ledger") == [(copied,)]


# -- Postgres is away ----------------------------------------------------------------------------------------------


async def test_postgres_killed_and_started_again_loses_and_doubles_nothing(
    clean_nats: NatsAddress, own_postgres: OwnPostgres
) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, own_postgres.database) as projector:
        published = 0
        for how in (signal.SIGINT, signal.SIGKILL):
            await publish(clean_nats.url, numbered(2000, start=published))
            assert await projector.wait_for(EVENTS, published + 300, 20)
            await asyncio.to_thread(own_postgres.stop, how)
            await publish(clean_nats.url, numbered(500, start=published + 2000))
            published += 2500
            await until(lambda: projector.waiting_for() == ["postgres"])
            await asyncio.to_thread(own_postgres.start)
            await reached(projector, bus)
        await assert_each_fact_once(own_postgres.database, bus)


@pytest.mark.slow
async def test_a_frozen_postgres_is_noticed_and_waited_out(clean_nats: NatsAddress, own_postgres: OwnPostgres) -> None:
    database = own_postgres.database
    pool = Pool(database.url, name="questions", statement_timeout=2.0)
    await pool.open()
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(1000))
        assert await projector.wait_for(EVENTS, 100, 20)
        assert await pool.ping()
        own_postgres.freeze()
        try:
            await publish(clean_nats.url, numbered(1000, start=1000))
            await until(lambda: projector.waiting_for() == ["postgres"], timeout=20)
            for _ in range(2):
                began = time.monotonic()
                with pytest.raises(UnavailableError):
                    await pool.fetch("SELECT 1")
                assert time.monotonic() - began < 6
            assert not await projector.wait_for(EVENTS, 2000, 0.1)
        finally:
            own_postgres.thaw()
        await reached(projector, bus)
        await until(pool.ping)
        await assert_each_fact_once(database, bus)
    await pool.close()


async def test_a_statement_that_never_ends_is_cut_off_and_tried_again(
    clean_nats: NatsAddress, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.analytics.projector.live.STATEMENT_SECONDS", 0.5)
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(10))
        await reached(projector, bus)
        await run(
            database.owner_url,
            "ALTER TABLE rm_ledger.ledger ADD CONSTRAINT slow CHECK (pg_sleep(9) IS NOT NULL) NOT VALID",
        )
        await publish(clean_nats.url, numbered(3, start=10))
        await until(lambda: projector.waiting_for() == ["postgres"])
        await run(database.owner_url, "ALTER TABLE rm_ledger.ledger DROP CONSTRAINT slow")
        await reached(projector, bus)
        await assert_each_fact_once(database, bus)
