"""What the queue has lost is found by asking the log, and scheduled again: once, and only what is owed."""

import asyncio
from datetime import UTC, datetime, timedelta

from libs.common.jetstream.streams import EVENTS, QUEUE, SCHEDULE
from services.sender.deliver.audit import Audit
from tests.support.relay import ScriptedRelay, hang, say
from tests.support.sending import RunningWorker, Sending, names


def audit(world: Sending, running: RunningWorker) -> Audit:
    """An audit by whose clock a little more than a minute has passed."""
    return Audit(world.bus, running.worker.outcome_log, now=lambda: datetime.now(UTC) + timedelta(seconds=61))


async def test_an_email_that_the_queue_lost_is_delivered_once(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port)
        done = await world.send()
        first = await world.start_worker()
        await world.until_last(done.email_id, "sent")
        await world.drained()
        await first.stop()
        lost = await world.send()
        async with asyncio.timeout(5):
            while not (await world.bus.stream_state(QUEUE)).messages:  # it comes there by itself, a moment later
                await asyncio.sleep(0.01)
        await world.bus.api(f"STREAM.PURGE.{QUEUE}")
        second = await world.start_worker()
        assert await audit(world, second).once() == 1
        await world.until_last(lost.email_id, "sent")
        assert await audit(world, second).once() == 0
        assert len(relay.messages) == 2


async def test_a_retry_that_the_queue_lost_is_for_those_who_are_pending(world: Sending) -> None:
    script = {"RCPT": [say("250 ok"), say("451 4.2.1 later"), say("250 ok")]}
    async with ScriptedRelay(script) as relay:
        await world.provider(1, relay.port)
        first = await world.start_worker()
        sent = await world.send(to=["ada@example.com", "bob@example.com"])
        await world.until_last(sent.email_id, "sent")
        await first.stop()
        async with asyncio.timeout(10):
            while (await world.bus.stream_state(QUEUE)).messages == 0:
                await asyncio.sleep(0.02)
        await world.bus.api(f"STREAM.PURGE.{QUEUE}")
        second = await world.start_worker()
        assert await audit(world, second).once() == 1
        facts = await world.until(sent.email_id, lambda found: found.count("sent") == 2)
        assert [each["address"] for each in facts[-1].data["recipients"]] == ["bob@example.com"]


async def test_what_is_in_hand_or_done_is_left_alone(world: Sending) -> None:
    async with ScriptedRelay({"RCPT": [say("250 ok"), hang()]}) as relay:
        await world.provider(1, relay.port)
        worker = await world.start_worker()
        done = await world.send()
        await world.until_last(done.email_id, "sent")
        in_hand = await world.send()
        await relay.reached("RCPT", 2)
        before = (await world.bus.stream_state(EVENTS)).last_sequence
        assert await audit(world, worker).once() == 0
        assert (await world.bus.stream_state(SCHEDULE)).messages == 0
        assert names(await world.facts(in_hand.email_id)) == ["accepted"]
        assert (await world.bus.stream_state(EVENTS)).last_sequence == before
