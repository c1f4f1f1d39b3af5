"""verify-log finds what one side has and the other has not, and nothing else."""

from deploy.local.servers import NatsAddress
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.streams import EVENTS, TRACKING
from services.analytics.postgres import Session
from services.analytics.projector import Verdict, verify_log
from tests.backing import Database
from tests.support.projecting import (
    FACTS,
    fact,
    foreign,
    log_at,
    numbered,
    projecting,
    publish,
    reached,
    run,
    until,
)


async def _copied(bus: Bus, nats: NatsAddress, database: Database, events: int = 50, hits: int = 20) -> None:
    await publish(nats.url, numbered(events))
    await publish(nats.url, numbered(hits, stream=TRACKING, start=1_000_000))
    async with projecting(bus, database, [FACTS]) as projector:
        await until(lambda: projector.state == "active")
        await reached(projector, bus)


async def _verdicts(bus: Bus, database: Database) -> tuple[Verdict, Verdict]:
    session = await Session.open(database.url, name="verify")
    try:
        events, tracking = await verify_log(bus, session, copy=FACTS)
    finally:
        await session.close()
    assert (events.stream, tracking.stream) == (EVENTS, TRACKING)
    return events, tracking


async def test_a_whole_log_is_whole(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await _copied(bus, clean_nats, database)
        await publish(clean_nats.url, numbered(7, start=50))  # not copied yet, and nothing is wrong with that
        events, tracking = await _verdicts(bus, database)
        assert events == Verdict(EVENTS, compared=50, uncopied=7)
        assert tracking == Verdict(TRACKING, compared=20)
        assert events.whole
        assert tracking.whole


async def test_an_empty_log_is_whole(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await _copied(bus, clean_nats, database, 0, 0)
        assert all(verdict.whole for verdict in await _verdicts(bus, database))


async def test_a_row_missing_from_the_copy_is_found(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await _copied(bus, clean_nats, database)
        await run(database.url, "DELETE FROM log.facts WHERE stream = 'MAIL_EVENTS' AND sequence IN (1, 17, 50)")
        events, tracking = await _verdicts(bus, database)
        assert (events.missing_in_copy, events.compared, events.whole) == (3, 47, False)
        assert events.lines == [f"{n}: only in the stream: {fact(n - 1).id}" for n in (1, 17, 50)]
        assert tracking.whole


async def test_a_foreign_row_in_the_copy_is_found(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await _copied(bus, clean_nats, database)
        other = foreign(fact(3)).id
        change = f"UPDATE log.facts SET id = '{other}' WHERE stream = '{EVENTS}' AND sequence = 4"  # noqa: S608 - ours
        await run(database.url, change)
        events, _ = await _verdicts(bus, database)
        assert (events.differing, events.whole) == (1, False)
        assert events.lines == [f"4: another fact: stream {fact(3).id}, copy {other}"]


async def test_the_same_id_with_other_content_is_found(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await _copied(bus, clean_nats, database)
        await run(
            database.url,
            "UPDATE log.facts SET data = '{\"number\":1}' WHERE sequence = 5;"
            "UPDATE log.facts SET time = time + interval '1 microsecond' WHERE sequence = 6",
        )
        events, tracking = await _verdicts(bus, database)
        assert (events.differing, tracking.differing) == (2, 2)
        assert "the same id with another content" in events.lines[0]


async def test_facts_lost_in_the_middle_and_at_the_end_of_the_stream_are_found(
    clean_nats: NatsAddress, database: Database
) -> None:
    async with log_at(clean_nats.url) as bus:
        await _copied(bus, clean_nats, database)
        for sequence in (10, 11, 50):
            await bus.api(f"STREAM.MSG.DELETE.{EVENTS}", {"seq": sequence})
        await run(database.url, "DELETE FROM log.facts WHERE stream = 'MAIL_EVENTS' AND sequence = 11")
        events, _ = await _verdicts(bus, database)
        assert (events.missing_in_stream, events.holes, events.missing_in_copy) == (2, 1, 0)
        assert events.lines == [
            f"10: only in the copy (in the middle): {fact(9).id}",
            "11 to 11: on neither side",
            f"50: only in the copy (in the middle): {fact(49).id}",
        ]


async def test_a_lost_tail_that_was_written_over_is_found(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await _copied(bus, clean_nats, database)
        await bus.api(f"STREAM.DELETE.{EVENTS}")
    async with log_at(clean_nats.url) as bus:
        await publish(clean_nats.url, [*numbered(40), fact(40)._replace(id=foreign(fact(40)).id)])
        events, _ = await _verdicts(bus, database)
        assert (events.compared, events.differing, events.missing_in_stream, events.reborn) == (41, 1, 9, True)
        assert f"50: only in the copy (behind its end): {fact(49).id}" in events.lines


async def test_a_fact_published_twice_is_no_damage(clean_nats: NatsAddress, database: Database) -> None:
    async with log_at(clean_nats.url) as bus:
        await _copied(bus, clean_nats, database, 10, 0)
        again = fact(4)
        await bus.publish(again.log_subject, again.encode())  # without Nats-Msg-Id: as after its window
        async with projecting(bus, database, [FACTS]) as projector:
            await reached(projector, bus)
        events, _ = await _verdicts(bus, database)
        assert events == Verdict(EVENTS, compared=10, duplicates=1)
        assert events.whole
