"""What another worker wrote down before it was lost is found, whenever it reached the log."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from libs.common.facts.email import EmailSent, RecipientOutcome
from libs.common.jetstream.message import Message
from libs.common.jetstream.streams import QUEUE, queue_consumer, queue_subject
from services.sender.deliver import redelivery_rules as suspicion
from services.sender.deliver.attempt_rules import PARKED, Attempt
from tests.support.relay import ScriptedRelay, say
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
        running.worker.feeding.send_gate.draining = True  # it hands nothing out yet: the other one is at work
        puller = world.bus.puller(QUEUE, name)
        accepted = await world.send()
        messages: list[Message] = []
        while not messages:
            messages = await puller.fetch(1, wait=1.0)
        await puller.close()
        outcome = RecipientOutcome(address="ada@example.com", outcome="accepted", smtp_code=250)
        await world.fact(EmailSent(email_id=accepted.email_id, attempt=1, provider_id=1, recipients=[outcome]))
        running.worker.feeding.send_gate.draining = False
        async with asyncio.timeout(20):
            await world.drained()
        assert names(await world.facts(accepted.email_id)) == ["accepted", "sent"]
        assert relay.messages == []


async def test_an_outcome_from_before_a_parked_attempt_became_due_is_found(world: Sending) -> None:
    """Its first message came again, its acknowledgement lost, and another worker sent it while the second waited."""
    running = await world.start_worker()
    now = datetime.now(UTC)
    accepted = await world.send(sender="hello@nobody.example")
    outcome = RecipientOutcome(address="ada@example.com", outcome="accepted", smtp_code=250)
    await world.fact(EmailSent(email_id=accepted.email_id, attempt=2, provider_id=1, recipients=[outcome]))
    due_at = now + PARKED - timedelta(seconds=1)
    parked = Attempt(accepted.email_id, 2, 1, "normal", due_at, now, 1, ("ada@example.com",), pinned=True)
    found = await running.worker.outcome_log.find(parked, redelivered=True)
    assert found is not None
    assert found.name == "email.sent"


async def test_the_first_retries_after_a_start_are_sent_where_the_servers_start_is_not_known(
    world: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with several NATS servers: nobody can have begun what became due under the connection that lasts."""
    monkeypatch.setattr(suspicion, "CLOCK_SECONDS", 0.0)
    async with ScriptedRelay({"RCPT": [say("451 4.7.1 greylisted")] * 2}) as relay:
        await world.provider(1, relay.port)
        await world.start_worker(nats_monitor_url=None)
        accepted = await world.send()
        facts = await world.until(accepted.email_id, lambda found: found[-1] in ("sent", "failed", "unknown"))
        assert names(facts) == ["accepted", "deferred", "deferred", "sent"]
        assert len(relay.messages) == 1
