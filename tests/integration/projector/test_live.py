"""The live projector on a real log and a real Postgres: exactly once in effect, whatever ends it and whenever."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.streams import EVENTS, LOG, TRACKING
from services.analytics.postgres import AwayError, Session, role_of
from services.analytics.projector.checkpoints import FencedError, prepare, standing
from services.analytics.projector.model import live
from services.analytics.projector.projection_run import ProjectionRun
from services.analytics.projector.stream_reader import LogReader
from tests.backing import Database
from tests.support.projecting import (
    MODELS,
    assert_each_fact_once,
    log_at,
    numbered,
    projecting,
    publish,
    reached,
    rows,
    run,
    until,
)


async def test_every_fact_of_both_streams_is_in_every_table_once(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(3000))
        await publish(clean_nats.url, numbered(1500, stream=TRACKING, start=100_000))
        await reached(projector, bus)
        await assert_each_fact_once(database, bus)
        assert projector.state == "active"
        assert projector.waiting_for() == []
        assert projector.degraded() == []


async def test_a_projector_that_is_stopped_and_started_goes_on_where_it_was(
    clean_nats: NatsAddress, database: Database
) -> None:
    async with log_at(clean_nats.url) as bus:
        for start in range(0, 3000, 600):
            async with projecting(bus, database) as projector:
                await publish(clean_nats.url, numbered(600, start=start))
                # Ended in the middle of it, wherever that is.
                await projector.wait_for(EVENTS, start + 200, 10)
        async with projecting(bus, database) as projector:
            await reached(projector, bus)
        await assert_each_fact_once(database, bus)


async def test_it_serves_once_it_has_come_past_what_was_there_though_more_keeps_coming(
    clean_nats: NatsAddress, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LogReader, "behind", property(lambda _: 3), raising=True)  # as under a load that never pauses
    async with log_at(clean_nats.url) as bus:
        await publish(clean_nats.url, numbered(300))
        async with projecting(bus, database) as projector:
            await until(lambda: projector.waiting_for() == [])
            assert projector.position(EVENTS) == 300


@pytest.mark.slow
async def test_it_resumes_after_losing_postgres_before_and_after_any_operation(
    clean_nats: NatsAddress, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with log_at(clean_nats.url) as bus:
        published = 0
        for after in (False, True):
            for moment in range(1, 14):
                with monkeypatch.context() as patched:
                    trip = _trip(patched, moment, after=after)
                    async with projecting(bus, database) as projector:
                        await publish(clean_nats.url, numbered(1, start=published))
                        await reached(projector, bus)
                        trip.armed = True
                        await publish(clean_nats.url, numbered(5, start=published + 1))
                        published += 6
                        await trip.done.wait()
                        await reached(projector, bus)
        await assert_each_fact_once(database, bus)


@pytest.mark.slow
async def test_it_resumes_after_losing_postgres_anywhere_in_a_backlog(
    clean_nats: NatsAddress, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with log_at(clean_nats.url) as bus:
        published = 0
        for moment in range(5, 75, 4):
            await publish(clean_nats.url, numbered(600, start=published))
            published += 600
            with monkeypatch.context() as patched:
                trip = _trip(patched, moment, after=moment % 8 == 5)
                trip.armed = True
                async with projecting(bus, database) as projector:
                    await trip.done.wait()
                    await reached(projector, bus)
        await assert_each_fact_once(database, bus)


class _Trip:
    """Loses the connection at the n-th operation after it was armed: before it is sent, or after it was done."""

    def __init__(self, moment: int, *, after: bool) -> None:
        self.left, self.after, self.armed, self.done = moment, after, False, asyncio.Event()

    def now(self) -> bool:
        if not self.armed or self.done.is_set():
            return False
        self.left -= 1
        if self.left == 0:
            self.done.set()
        return self.left == 0


def _trip(monkeypatch: pytest.MonkeyPatch, moment: int, *, after: bool) -> _Trip:
    trip = _Trip(moment, after=after)

    def losing(original: Callable[..., Any]) -> Callable[..., Any]:
        async def operation(session: Session, *arguments: Any, **options: Any) -> Any:
            if not trip.now():
                return await original(session, *arguments, **options)
            if after:
                await original(session, *arguments, **options)
            await session.close()
            raise AwayError("lost, for the test")

        return operation

    for name in ("run", "count", "copy", "rows"):
        monkeypatch.setattr(Session, name, losing(getattr(Session, name)))
    return trip


async def test_a_second_writer_is_fenced_and_leaves_nothing(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await _prepared(database)
        await publish(clean_nats.url, numbered(50))
        first, second = await _run(bus, database), await _run(bus, database)
        try:
            assert await first.step(5.0) == 50
            with pytest.raises(FencedError):
                await second.step(5.0)
        finally:
            for run in (first, second):
                await run.close()
                await run.session.close()
        assert await rows(database.url, "SELECT count(*), max(times) FROM rm_ledger.ledger") == [(50, 1)]


async def _prepared(database: Database) -> None:
    owner = await Session.open(database.owner_url, name="test")
    await prepare(owner, MODELS, role_of(database.url), LOG)
    await owner.close()


async def _run(bus: Bus, database: Database) -> ProjectionRun:
    session = await Session.open(database.url, name="test")
    known = await standing(session)
    run = ProjectionRun(bus, [session], [live(model) for model in MODELS], known.marks, batch=100)
    await run.open(durable=True)
    return run


async def test_one_replica_projects_and_the_other_takes_over(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as second:
        await until(lambda: second.state == "active")
        first = second
        async with projecting(bus, database) as other:
            await until(lambda: other.state == "standby")
            await publish(clean_nats.url, numbered(100))
            await reached(other, bus)  # a standby knows what the other one has done
            await _end_sessions(database, "temps-projector")
            await until(lambda: {first.state, other.state} == {"active", "standby"})
            await publish(clean_nats.url, numbered(100, start=100))
            await reached(first, bus)
            await reached(other, bus)
        await until(lambda: first.state == "active")
        await publish(clean_nats.url, numbered(100, start=200))
        await reached(first, bus)
        await assert_each_fact_once(database, bus)


async def _end_sessions(database: Database, name: str) -> None:
    await rows(
        database.superuser_url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"  # noqa: S608
        f" AND application_name = '{name}'",
    )


async def test_dropped_tables_are_filled_again_from_the_log(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await publish(clean_nats.url, numbered(1000))
        async with projecting(bus, database) as projector:
            await reached(projector, bus)
        await run(database.owner_url, "DROP SCHEMA rm_ledger CASCADE; DROP SCHEMA projection CASCADE")
        async with projecting(bus, database) as projector:
            await reached(projector, bus)
        await assert_each_fact_once(database, bus)


async def test_a_model_far_behind_catches_up_by_itself_while_the_others_go_on(
    clean_nats: NatsAddress, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.analytics.projector.live._FAR", 500)
    async with log_at(clean_nats.url) as bus:
        await publish(clean_nats.url, numbered(4000))
        async with projecting(bus, database, MODELS[:2]) as projector:
            await reached(projector, bus)
        async with projecting(bus, database) as projector:
            await until(lambda: projector.position(EVENTS, "ledger") == 4000)
            await publish(clean_nats.url, numbered(300, start=4000))
            await reached(projector, bus, model="ledger")
            await reached(projector, bus, model="tally")
            await until(lambda: projector.degraded() == [])
            await reached(projector, bus)
        await assert_each_fact_once(database, bus)


async def test_it_waits_for_streams_that_do_not_exist_yet(clean_nats: NatsAddress, database: Database) -> None:
    bus = Bus(clean_nats.url, name="early")
    await bus.start()
    try:
        async with projecting(bus, database) as projector:
            await until(lambda: projector.waiting_for() == ["nats"])
            async with log_at(clean_nats.url):
                await publish(clean_nats.url, numbered(10))
                await reached(projector, bus)
    finally:
        await bus.close()


async def test_waiting_for_a_sequence_ends_in_time(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus, projecting(bus, database) as projector:
        await publish(clean_nats.url, numbered(1))
        await reached(projector, bus)
        assert not await projector.wait_for(EVENTS, 2, 0.05)
        waiting = asyncio.create_task(projector.wait_for(EVENTS, 2, 10))
        await publish(clean_nats.url, numbered(1, start=1))
        assert await waiting
