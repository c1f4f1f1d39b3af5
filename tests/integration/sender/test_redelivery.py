"""What another worker wrote down before it was lost is found, whenever it reached the log."""

import asyncio

from libs.common.bus import Message
from libs.common.events.email import EmailSent, RecipientOutcome
from libs.common.streams import QUEUE, queue_consumer, queue_subject
from tests.support.relay import ScriptedRelay
from tests.support.sending import Sending, names

ACK_WAIT = 3.0


async def test_an_outcome_that_reached_the_log_after_this_worker_began_is_no_lost_work(world: Sending) -> None:
    """A killed worker's last publishes may wait in the server behind a slow disk while the next one reads the log."""
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port)
        name = queue_consumer(1, "normal")
        config = {
            "durable_name": name,
            "name": name,
            "ack_policy": "explicit",
            "ack_wait": int(ACK_WAIT * 1e9),
            "max_ack_pending": 16,
            "max_deliver": -1,
            "filter_subject": queue_subject(1, "normal"),
        }
        await world.bus.ensure_consumer(QUEUE, config)
        running = await world.start_worker(ack_wait=ACK_WAIT)
        running.worker.feeding.gate.draining = True  # it hands nothing out yet: the other one is at work
        puller = world.bus.puller(QUEUE, name)
        accepted = await world.send()
        messages: list[Message] = []
        while not messages:
            messages = await puller.fetch(1, wait=1.0)
        await puller.close()
        outcome = RecipientOutcome(address="ada@example.com", outcome="accepted", smtp_code=250)
        await world.fact(EmailSent(email_id=accepted.email_id, attempt=1, provider_id=1, recipients=[outcome]))
        running.worker.feeding.gate.draining = False
        async with asyncio.timeout(20):
            await world.drained()
        assert names(await world.facts(accepted.email_id)) == ["accepted", "sent"]
        assert relay.messages == []
