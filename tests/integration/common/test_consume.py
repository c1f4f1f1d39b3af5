"""Reading in order, views in memory and one email's facts, across cuts and lost consumers."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from deploy.local.servers import NatsAddress
from libs.common.facts import Envelope, uuid7
from libs.common.jetstream.append import append
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.email_log import AcceptedLookup, facts_of
from libs.common.jetstream.errors import ConsumerGoneError
from libs.common.jetstream.message import Message
from libs.common.jetstream.streams import EVENTS, QUEUE
from libs.common.jetstream.views import View, read_in_order
from tests.backing import delete_streams
from tests.integration.common.log import cut_and_reconnect, deferred, key_created, wired_bus
from tests.support.aio import run


async def append_many(bus: Bus, count: int) -> None:
    for start in range(0, count, 100):
        await asyncio.gather(*[append(bus, deferred(uuid7())) for _ in range(min(100, count - start))])


def test_a_reader_sees_everything_once_and_in_order_across_cuts(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, wire):
            await append_many(bus, 1_500)
            reader = read_in_order(bus, EVENTS, filters=["mail.>"], start_sequence=1)
            seen: list[int] = []
            while len(seen) < 1_500:
                seen += [message.sequence for message in await reader.batch(97, 5.0)]
                if len(seen) // 97 in (3, 8):
                    wire.cut()
            assert seen == list(range(1, 1_501))
            await reader.close()

    run(main())


def test_a_reader_outlives_its_consumer(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            await append_many(bus, 10)
            reader = read_in_order(bus, EVENTS, filters=["mail.>"], start_sequence=4)
            first = await reader.batch(3, 2.0)
            await bus.delete_consumer(EVENTS, reader._name)
            rest: list[Message] = []
            async with asyncio.timeout(10):
                while len(rest) < 4:
                    rest += await reader.batch(10, 2.0)
            assert [message.sequence for message in first + rest] == [4, 5, 6, 7, 8, 9, 10]
            await reader.close()

    run(main())


def test_a_fetch_returns_with_the_first_message_and_never_waits_for_its_whole_batch(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            reader = read_in_order(bus, EVENTS, filters=["mail.>"], start_sequence=1)
            waiting = asyncio.create_task(reader.batch(500, 20.0))
            await append(bus, deferred(uuid7()))
            assert len(await asyncio.wait_for(waiting, 2.0)) == 1
            await reader.close()

    run(main())


def test_a_message_counts_as_received_when_it_was_asked_for(clean_nats: NatsAddress) -> None:
    """Its lease may have begun at any time since: it may have lain on its way to a process that stood still."""

    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            await bus.ensure_consumer(EVENTS, {"name": "asked", "ack_policy": "none", "inactive_threshold": 10**10})
            puller = bus.puller(EVENTS, "asked")
            asked: list[float] = []
            for _ in range(2):  # the first request is used up by the time of the second
                before = time.monotonic()
                waiting = asyncio.create_task(puller.fetch(1, wait=5.0))
                await asyncio.sleep(0.2)
                published = time.monotonic()
                await append(bus, deferred(uuid7()))
                (message,) = await waiting
                assert before <= message.received < published
                asked.append(message.received)
            assert asked[0] < asked[1]
            await puller.close()

    run(main())


def test_a_fetch_without_waiting_takes_what_is_there(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            config = {"durable_name": "p1-normal", "ack_policy": "explicit", "filter_subject": "queue.ready.1.normal"}
            await bus.ensure_consumer(QUEUE, config)
            puller = bus.puller(QUEUE, "p1-normal")
            assert await puller.fetch(5, wait=0) == []
            for number in range(3):
                await bus.publish(f"mail.email.0{number}.accepted.1.normal", b"{}")
            got = await puller.fetch(5, wait=2)
            async with asyncio.timeout(5):
                while len(got) < 3:
                    got += await puller.fetch(5, wait=0)
            assert [message.num_delivered for message in got] == [1, 1, 1]
            assert got[0].headers["Nats-Stream-Source"].split(" ")[:2] == [EVENTS, "1"]
            assert await bus.in_progress(got[0])
            for message in got:
                await bus.ack_sync(message)
            assert (await bus.stream_state(QUEUE)).messages == 0
            await bus.delete_consumer(QUEUE, "p1-normal")
            with pytest.raises(ConsumerGoneError):
                await puller.fetch(1, wait=1)
            await puller.close()

    run(main())


class Keys:
    def __init__(self, bus: Bus) -> None:
        self.known: dict[str, Envelope] = {}
        self.view = View(bus, set_name="key", apply=self._apply, reset=self.known.clear)

    def _apply(self, envelope: Envelope) -> None:
        self.known[envelope.subject] = envelope


def test_a_view_catches_up_follows_and_survives_a_cut(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, wire):
            for number in (1, 2, 2, 3):
                await append(bus, key_created(number))
            keys = Keys(bus)
            task = asyncio.create_task(keys.view.run())
            await asyncio.wait_for(keys.view.caught_up.wait(), 5)
            assert (sorted(keys.known), keys.view.position) == (["key/1", "key/2", "key/3"], 4)
            later = await append(bus, key_created(4))
            assert await keys.view.wait_for(later.sequence)
            await cut_and_reconnect(bus, wire)
            last = await append(bus, key_created(5))
            assert await keys.view.refresh(timeout=5)
            assert (keys.view.position, len(keys.known)) == (last.sequence, 5)
            assert not await keys.view.wait_for(last.sequence + 1, timeout=0.05)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_a_view_of_a_log_that_lost_its_tail_is_read_anew(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, wire):
            for number in (1, 2, 3):
                await append(bus, key_created(number))
            keys = Keys(bus)
            task = asyncio.create_task(keys.view.run())
            await asyncio.wait_for(keys.view.caught_up.wait(), 5)
            await delete_streams(clean_nats.url)
            await cut_and_reconnect(bus, wire)
            await bootstrap(bus, store_bytes=2**26)
            await append(bus, key_created(1))
            async with asyncio.timeout(20):
                while sorted(keys.known) != ["key/1"]:
                    await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main(), timeout=40)


def test_one_emails_facts_are_found_among_others_of_its_shard(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            mine = uuid7()
            others = [UUID(int=uuid7().int & ~0xFF | mine.int & 0xFF) for _ in range(300)]
            for number, other in enumerate(others):
                await append(bus, deferred(other))
                if number in (10, 200):
                    await append(bus, deferred(mine, attempt=number))
            found = await facts_of(bus, mine)
            assert [fact.data["attempt"] for fact in found] == [10, 200]
            assert [fact.data["attempt"] for fact in await facts_of(bus, mine, since=found[1].sequence)] == [200]
            assert await facts_of(bus, mine, until=datetime.now(UTC) - timedelta(hours=1)) == []
            assert await facts_of(bus, uuid7()) == []

    run(main())


def test_an_unknown_or_future_id_is_unknown_without_a_read(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, wire):
            lookup = AcceptedLookup(bus)
            wire.deaf = True
            for strange in (UUID(int=1), UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479"), uuid7(2**47)):
                assert await lookup.get(strange) is None
            wire.deaf = False

    run(main())


def test_who_leaves_takes_along_everything_that_was_on_its_way(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            await append_many(bus, 600)
            for turn in range(20):
                name = f"leaver-{turn}"
                await bus.ensure_consumer(EVENTS, {"durable_name": name, "name": name, "ack_policy": "explicit"})
                puller = bus.puller(EVENTS, name)
                await puller.prefetch(500, wait=5.0)
                handed = len(await puller.fetch(1, wait=5.0)) + len(await puller.leave())
                info = await bus.api(f"CONSUMER.INFO.{EVENTS}.{name}")
                assert info["num_ack_pending"] == handed

    run(main())
