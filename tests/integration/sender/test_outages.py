"""NATS killed, frozen and slow while mail is on its way: nothing lost, nothing sent that cannot be written down."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.own_nats import OwnNats, own_nats
from tests.support.relay import ScriptedRelay, say
from tests.support.sending import Sending, names, sending


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[OwnNats]:
    with own_nats(tmp_path) as started:
        await started.start()
        yield started


@pytest.fixture
async def world(server: OwnNats, tmp_path: Path) -> AsyncIterator[Sending]:
    async with sending(server.address.url, server.address.monitor_url, tmp_path) as ready:
        yield ready


async def test_everything_is_delivered_once_across_a_killed_server(world: Sending, server: OwnNats) -> None:
    async with ScriptedRelay({"dot": replace(say("250 ok"), delay=0.1)}) as relay:
        await world.provider(1, relay.port)
        await world.start_worker()
        emails = [await world.send() for _ in range(40)]
        assert len(relay.messages) < len(emails)
        server.signal(signal.SIGKILL)
        await server.start()
        for each in emails:
            facts = await world.until_last(each.email_id, "sent", seconds=30)
            assert names(facts)[0] == "accepted"
        await world.drained()
        unknowns = [each for each in emails if "unknown" in names(await world.facts(each.email_id))]
        assert len(emails) <= len(relay.messages) <= len(emails) + len(unknowns)


async def test_nothing_is_sent_while_an_outcome_cannot_be_written(world: Sending, server: OwnNats) -> None:
    async with ScriptedRelay({"dot": replace(say("250 ok"), delay=1.0)}) as relay:
        await world.provider(1, relay.port, max_connections=1)
        worker = await world.start_worker(ack_wait=30.0)
        send_gate = worker.worker.feeding.send_gate
        emails = [await world.send() for _ in range(4)]
        await relay.reached("dot")
        # Frozen with the first message on the wire and the others in hand.
        server.signal(signal.SIGSTOP)
        await until(lambda: send_gate.blocked > 0 or not worker.bus.connected, seconds=30)
        sent = len(relay.messages)
        await asyncio.sleep(1.0)
        assert len(relay.messages) == sent < len(emails)
        server.signal(signal.SIGCONT)
        for each in emails:
            await world.until_last(each.email_id, "sent", seconds=30)
        await world.drained()
        assert len(relay.messages) == len(emails)


async def test_a_worker_that_stood_still_asks_for_its_lease_before_the_final_dot(world: Sending) -> None:
    async with ScriptedRelay({"MAIL": [replace(say("250 ok"), delay=0.5)]}) as relay:
        await world.provider(1, relay.port)
        worker = await world.start_worker(ack_wait=30.0)
        in_flight = worker.worker.feeding.in_flight
        accepted = await world.send()
        await relay.reached("MAIL")
        (held,) = in_flight.held.values()
        assert held.leased_at == held.message.received
        in_flight.distrust_before = float("inf")
        await world.until_last(accepted.email_id, "sent")
        assert held.leased_at > held.message.received


async def test_a_message_whose_lease_is_lost_is_not_sent_by_this_worker(world: Sending, server: OwnNats) -> None:
    async with ScriptedRelay({"MAIL": [replace(say("250 ok"), delay=1.0)]}) as relay:
        await world.provider(1, relay.port)
        worker = await world.start_worker(ack_wait=2.0)
        accepted = await world.send()
        await relay.reached("MAIL")
        worker.worker.feeding.in_flight.distrust_before = float("inf")
        server.signal(signal.SIGSTOP)
        session = relay.sessions[0]
        async with asyncio.timeout(20):
            await session.closed.wait()
        assert relay.messages == []
        worker.worker.feeding.in_flight.distrust_before = 0.0
        server.signal(signal.SIGCONT)
        facts = await world.until_last(accepted.email_id, "sent", seconds=30)
        assert names(facts) == ["accepted", "sent"]
        assert len(relay.messages) == 1


async def until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)
