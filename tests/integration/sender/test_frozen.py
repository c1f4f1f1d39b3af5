"""A worker that stood still for longer than its lease comes to in a world where somebody else has its mail."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from deploy.local.ports import free_port
from libs.common.jetstream.streams import presence_subject
from services.sender.cluster.membership import Timing
from tests.support.relay import ScriptedRelay, say
from tests.support.sending import Sending, names

ACK_WAIT = 3.0
BRISK = Timing(period=0.2, join=0.6, ttl=2, remember=ACK_WAIT)


async def test_a_lease_that_only_looks_fresh_is_not_believed_where_another_worker_may_have_the_message(
    world: Sending,
) -> None:
    """What lay in the socket's buffer meanwhile may be read after the next request: it looks as if it had come then."""
    async with ScriptedRelay({"MAIL": [replace(say("250 ok"), delay=0.5)]}) as relay:
        await world.provider(1, relay.port)
        running = await world.start_worker(ack_wait=ACK_WAIT, timing=BRISK, nats_monitor_url=None)
        await world.bus.publish(presence_subject("ffff"), b"working", headers={"Nats-TTL": "6s"})
        await until(lambda: running.worker.membership.company() == ["ffff"])
        running.bus.connected_at -= 60  # or the email would be in doubt for another reason
        accepted = await world.send()
        await relay.reached("MAIL")
        in_flight = running.worker.feeding.in_flight
        (held,) = in_flight.held.values()
        in_flight.distrust_before = time.monotonic()
        assert not held.lapsed
        await until(lambda: not in_flight.held)
        assert relay.messages == []
        facts = await world.until_last(accepted.email_id, "sent", seconds=30)
        assert names(facts) == ["accepted", "sent"], "it knew that nothing had been sent"
        assert len(relay.messages) == 1


async def test_who_may_have_lost_its_message_does_not_write_down_that_the_provider_was_away(world: Sending) -> None:
    """Another worker may have sent it by now: a deferral after that would have it sent once more."""
    port = free_port()
    await world.provider(1, port)
    running = await world.start_worker(ack_wait=ACK_WAIT, timing=BRISK, nats_monitor_url=None)
    await world.bus.publish(presence_subject("ffff"), b"working", headers={"Nats-TTL": "6s"})
    await until(lambda: running.worker.membership.company() == ["ffff"])
    running.bus.connected_at -= 60
    in_flight = running.worker.feeding.in_flight
    in_flight.distrust_before = float("inf")
    accepted = await world.send()
    key = (accepted.email_id, 1, 1)
    await until(lambda: key in in_flight.held)
    await until(lambda: key not in in_flight.held)
    assert names(await world.facts(accepted.email_id)) == ["accepted"]
    in_flight.distrust_before = 0.0
    async with ScriptedRelay(port=port) as relay:
        facts = await world.until_last(accepted.email_id, "sent", seconds=30)
        assert names(facts) == ["accepted", "sent"]
        assert len(relay.messages) == 1


async def until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
