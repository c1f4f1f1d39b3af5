"""Several workers side by side: together they never use more than one may, and none sends what another one has."""

import asyncio
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from libs.common.jetstream.streams import QUEUE, queue_consumer
from services.sender.cluster.membership import Timing
from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.feeder import WINDOW
from tests.support.forwarder import forwarding
from tests.support.own_nats import OwnNats, own_nats
from tests.support.relay import Act, ScriptedRelay, say
from tests.support.sending import RunningWorker, Sending, names, sending

ACK_WAIT = 6.0
BRISK = Timing(period=0.2, join=0.6, ttl=2, remember=ACK_WAIT)
"""As in production, only faster."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[OwnNats]:
    with own_nats(tmp_path) as started:
        await started.start()
        yield started


@pytest.fixture
async def fragile(server: OwnNats, tmp_path: Path) -> AsyncIterator[Sending]:
    async with sending(server.address.url, server.address.monitor_url, tmp_path) as ready:
        yield ready


async def test_two_workers_never_open_more_connections_than_one_may(world: Sending) -> None:
    async with ScriptedRelay({"dot": slow(0.1)}) as relay:
        await world.provider(1, relay.port, max_connections=3)
        workers = [await start(world), await start(world)]
        await shares(workers, [2, 1])
        emails = [(await world.send()).email_id for _ in range(60)]
        await everything_sent(world, emails)
        assert relay.most_open == 3
        assert copies(relay).most_common(1)[0][1] == 1
        assert all(sent_by(worker, emails) for worker in workers)
        info = await world.bus.api(f"CONSUMER.INFO.{QUEUE}.{queue_consumer(1, 'normal')}")
        assert info["config"]["max_ack_pending"] == WINDOW * 3


async def test_shares_follow_those_who_come_and_go(world: Sending) -> None:
    async with ScriptedRelay({"dot": slow(0.05)}) as relay:
        await world.provider(1, relay.port, max_connections=4)
        first = await start(world)
        await shares([first], [4])
        async with under_load(world) as emails:
            await relay.received(8)
            second = await start(world)
            await shares([first, second], [2, 2])
            await steady(relay, 4)
            third = await start(world)
            await shares([first, second, third], [2, 1, 1])
            await steady(relay, 4)
            await second.stop()
            await shares([first, third], [2, 2])
            await steady(relay, 4)
            await first.lose()
            await shares([third], [4])
            await steady(relay, 4)
        for each in emails:
            await world.until_last(each, "sent", seconds=30)
        unknown = await unknowns(world, emails)
        sent = copies(relay)
        assert all(sent[each] <= 1 + unknown[each] for each in emails)
        assert sum(unknown.values()) <= WINDOW * 2, "only what the lost one had in hand"


async def test_a_worker_that_joins_waits_until_the_others_have_made_room(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port, max_connections=3)
        first = await start(world)
        await shares([first], [3])
        second = await start(world)
        while not connections(second):
            assert connections(first) + connections(second) <= 3
            await asyncio.sleep(0)
        assert connections(first) == 2


async def test_a_worker_alone_begins_at_once(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port, max_connections=3)
        began = time.monotonic()
        worker = await world.start_worker()
        assert connections(worker) == 3
        assert time.monotonic() - began < 1.0


async def test_a_worker_takes_the_place_of_one_that_died_under_its_name_at_once(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port, max_connections=3)
        other = await start(world, worker_name="left")
        first = await start(world, worker_name="right")
        await shares([other, first], [2, 1])
        await first.lose()
        began = time.monotonic()
        second = await start(world, worker_name="right")
        await shares([other, second], [2, 1])
        assert time.monotonic() - began < BRISK.ttl, "it does not wait for the lost one's word to lapse"
        assert len(second.worker.membership.company()) == 1, "the dead are not asked"


async def test_two_workers_that_start_together_do_not_both_take_everything(world: Sending) -> None:
    await world.provider(1, 25, max_connections=3)
    workers = await asyncio.gather(*(start(world) for _ in range(4)))
    assert sum(map(connections, workers)) <= 3
    await shares(sorted(workers, key=lambda each: each.worker.membership.worker_id), [1, 1, 1, 0])


async def test_whoever_gets_no_connection_any_more_hands_back_what_it_has(world: Sending) -> None:
    async with ScriptedRelay({"dot": slow(0.5)}) as relay:
        state = await world.provider(1, relay.port, max_connections=3)
        workers = [await start(world) for _ in range(3)]
        await shares(workers, [1, 1, 1])
        emails = [(await world.send()).email_id for _ in range(24)]
        last = workers[2].worker.feeding.in_flight
        await until(lambda: len(last.held) > 2)
        await world.update(state, max_connections=2)
        await shares(workers, [1, 1, 0])
        await until(lambda: not last.held, seconds=2)
        await steady(relay, 2)
        for each in emails:
            assert names(await world.until_last(each, "sent")) == ["accepted", "sent"]
        await world.drained()
        assert max(copies(relay).values()) == 1


async def test_a_rate_is_one_rate_for_all_workers(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port, max_connections=4, rate_limit_per_second=20.0)
        workers = [await start(world, drain_seconds=0.2), await start(world, drain_seconds=0.2)]
        await shares(workers, [2, 2])
        for _ in range(120):
            await world.send()
        taken: list[float] = []
        before, began = len(relay.messages), time.monotonic()
        while time.monotonic() - began < 3.0:
            async with asyncio.timeout(5):
                await relay.received(before + len(taken) + 1)
            taken += [time.monotonic()] * (len(relay.messages) - before - len(taken))
        within = max(sum(1 for other in taken if each <= other < each + 1.0) for each in taken)
        # Two evenly spaced workers: either may have one more in a second that begins with its turn.
        assert within <= 20 + 2
        assert len(taken) > 40, "it limits, it does not stand still"
        assert all(sent_by(worker, list(copies(relay))) for worker in workers)


async def test_nothing_is_sent_twice_across_a_killed_server(fragile: Sending, server: OwnNats) -> None:
    async with ScriptedRelay({"dot": slow(0.1)}) as relay:
        await fragile.provider(1, relay.port, max_connections=4)
        workers = [await start(fragile), await start(fragile)]
        await shares(workers, [2, 2])
        emails = [(await fragile.send()).email_id for _ in range(60)]
        assert len(relay.messages) < len(emails)
        server.signal(signal.SIGKILL)
        await server.start()
        emails += [(await fragile.send()).email_id for _ in range(10)]
        for each in emails:
            await fragile.until_last(each, "sent", seconds=60)
        await fragile.drained()
        unknown, sent = await unknowns(fragile, emails), copies(relay)
        assert all(1 <= sent[each] <= 1 + unknown[each] for each in emails)
        await shares(workers, [2, 2])


async def test_what_another_worker_has_in_hand_across_a_killed_server_is_left_to_it(
    fragile: Sending, server: OwnNats, tmp_path: Path
) -> None:
    """The killed server has not come so far as to write down who has what: so it hands everything out again."""
    async with ScriptedRelay({"dot": slow(2.0)}) as relay:
        await fragile.provider(1, relay.port, max_connections=2)
        workers = [await start(fragile), await start(fragile)]
        await shares(workers, [1, 1])
        emails = [(await fragile.send()).email_id for _ in range(6)]
        await until(lambda: sum(len(each.worker.feeding.in_flight.held) for each in workers) == len(emails))
        await relay.reached("dot", 2)
        server.signal(signal.SIGKILL)
        await asyncio.to_thread(forget_deliveries, tmp_path)
        await server.start()
        for each in emails:
            assert names(await fragile.until_last(each, "sent", seconds=40)) == ["accepted", "sent"]
        await fragile.drained(seconds=40)
        assert list(copies(relay).values()) == [1] * len(emails)


async def test_while_nats_is_away_and_after_it_nobody_takes_more_than_its_share(
    fragile: Sending, server: OwnNats
) -> None:
    await fragile.provider(1, 25, max_connections=3)
    workers = [await start(fragile), await start(fragile)]
    await shares(workers, [2, 1])
    server.signal(signal.SIGKILL)
    await until(lambda: not any(each.bus.connected for each in workers))
    await asyncio.sleep(BRISK.ttl + 0.5)  # long enough for everybody's word to lapse
    assert list(map(connections, workers)) == [2, 1]
    await server.start()
    await until(lambda: all(each.bus.connected for each in workers))
    back = time.monotonic()
    while time.monotonic() - back < BRISK.ttl + BRISK.join:
        had = list(map(connections, workers))
        assert had[0] <= 2, had
        assert had[1] <= 1, had
        await asyncio.sleep(0.01)
    await shares(workers, [2, 1])


async def test_one_attempt_that_is_scheduled_twice_is_sent_by_one_worker(world: Sending) -> None:
    """As the audits of two workers may do it, that find the same attempt missing at the same time."""
    async with ScriptedRelay({"MAIL": slow(1.5)}) as relay:
        await world.provider(1, relay.port, max_connections=2)
        emails = [await world.send() for _ in range(6)]
        await world.bus.api(f"STREAM.PURGE.{QUEUE}")
        workers = [await start(world), await start(world)]
        await shares(workers, [1, 1])
        for worker in workers:
            await asyncio.gather(*(schedule_again(world, worker, each.email_id) for each in emails))
        for each in emails:
            assert names(await world.until_last(each.email_id, "sent")) == ["accepted", "sent"]
        await world.drained()
        assert sorted(copies(relay).values()) == [1] * len(emails)


async def test_a_worker_that_was_cut_off_does_not_send_what_another_one_has_decided(world: Sending) -> None:
    async with (
        forwarding(int(world.url.rpartition(":")[2])) as way,
        ScriptedRelay({"RCPT": [replace(say("250 ok"), delay=12.0)]}) as relay,
    ):
        await world.provider(1, relay.port, max_connections=2)
        cut_off = await start(world, nats_url=f"nats://127.0.0.1:{way.port}", ack_wait=4.0)
        accepted = await world.send()
        await relay.reached("RCPT")
        way.freeze()
        await start(world, ack_wait=4.0)
        facts = await world.until_last(accepted.email_id, "sent", seconds=30)
        assert names(facts) == ["accepted", "unknown", "sent"]
        way.thaw()
        await until(lambda: not cut_off.worker.feeding.in_flight.held, seconds=30)
        assert names(await world.facts(accepted.email_id)) == ["accepted", "unknown", "sent"]
        assert len(relay.messages) == 1


async def start(world: Sending, *, ack_wait: float = ACK_WAIT, **settings: Any) -> RunningWorker:
    return await world.start_worker(ack_wait=ack_wait, timing=replace(BRISK, remember=ack_wait), **settings)


def slow(seconds: float) -> Act:
    return replace(say("250 ok"), delay=seconds)


def connections(running: RunningWorker) -> int:
    return running.worker.channels[1].connections


async def shares(workers: list[RunningWorker], expected: list[int]) -> None:
    """Wait until the workers have these numbers of connections, and until those are what they keep."""
    try:
        await until(lambda: list(map(connections, workers)) == expected)
    except TimeoutError:
        raise AssertionError(f"{list(map(connections, workers))}, not {expected}") from None


async def steady(relay: ScriptedRelay, most: int) -> None:
    """Once what was on its way has ended, never more sessions than that; for a while of full load."""
    await until(lambda: relay.open_sessions <= most)
    await relay.received(len(relay.messages) + 2 * most)
    relay.most_open = relay.open_sessions
    await relay.received(len(relay.messages) + 5 * most)
    assert relay.most_open <= most


class under_load:  # noqa: N801 - used as a function
    """Emails are accepted for as long as it lasts; enters with the list of their ids, which grows."""

    def __init__(self, world: Sending) -> None:
        self._world = world
        self._emails: list[UUID] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> list[UUID]:
        self._task = asyncio.create_task(self._run())
        return self._emails

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and self._task.exception() is not None:
            raise AssertionError("the load broke off") from self._task.exception()

    async def _run(self) -> None:
        while True:
            waiting = (await self._world.bus.stream_state(QUEUE)).messages
            if waiting < 100:
                self._emails += [(await self._world.send()).email_id for _ in range(20)]
            await asyncio.sleep(0.02)


async def everything_sent(world: Sending, emails: list[UUID]) -> None:
    for each in emails:
        assert names(await world.until_last(each, "sent")) == ["accepted", "sent"]
    await world.drained()


def copies(relay: ScriptedRelay) -> Counter[UUID]:
    """How often the relay has taken each email, by its id."""
    found: Counter[UUID] = Counter()
    for message in relay.messages:
        (line,) = [each for each in message.raw.split(b"\r\n") if each.lower().startswith(b"message-id:")]
        found[UUID(line.split(b"<")[1].split(b"@")[0].decode())] += 1
    return found


async def unknowns(world: Sending, emails: list[UUID]) -> Counter[UUID]:
    return Counter({each: names(await world.facts(each)).count("unknown") for each in emails})


def sent_by(running: RunningWorker, emails: list[UUID]) -> int:
    """How many of these this worker has written an outcome of."""
    return sum(running.worker.recent.sequence_of((each, 1, 1)) is not None for each in emails)


def forget_deliveries(data: Path) -> None:
    (state,) = data.rglob(f"{QUEUE}/obs/{queue_consumer(1, 'normal')}/o.dat")
    state.unlink()


async def schedule_again(world: Sending, running: RunningWorker, email_id: UUID) -> None:
    """Schedule a first attempt, and wait until it has become due: another schedule would take its place."""
    accepted = (await world.facts(email_id))[0]
    attempt = Attempt(email_id, 1, 1, "normal", accepted.at, accepted.at, accepted.sequence)
    await running.worker.outcome_log.schedule(attempt)
    async with asyncio.timeout(10):
        while await world.bus.direct_last("MAIL_SCHEDULE", f"schedule.at.{email_id}") is not None:
            await asyncio.sleep(0.01)


async def until(condition: Callable[[], bool], *, seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
