"""A failover that is interrupted anywhere, or seen twice, is still one; and a long queue is through in seconds."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from libs.common.facts import Envelope
from libs.common.facts.email import EmailRerouted, Route
from libs.common.jetstream.message import Message
from libs.common.jetstream.streams import QUEUE, queue_consumer, queue_subject
from services.sender.channel import circuit_rules as breaker
from services.sender.deliver import redelivery_rules as suspicion
from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.audit import Audit
from tests.support.relay import ScriptedRelay
from tests.support.sending import RunningWorker, Sending, names

ACK_WAIT = 3.0
MANY = 300


@pytest.fixture
async def second(world: Sending) -> AsyncIterator[ScriptedRelay]:
    """Provider 1 is dead, this is its fallback, provider 2."""
    async with ScriptedRelay() as dead, ScriptedRelay() as relay:
        await world.provider(2, relay.port)
        await world.provider(1, dead.port, name="Main relay", fallback_provider_ids=[2])
        await dead.__aexit__(None, None, None)
        yield relay


async def taken_by_another_worker(world: Sending, running: RunningWorker) -> tuple[Envelope, Message]:
    """Accept an email and fetch it as a worker would that is lost afterwards; `running` hands nothing out yet."""
    running.worker.feeding.send_gate.draining = True
    puller = world.bus.puller(QUEUE, queue_consumer(1, "normal"))
    accepted = await world.send()
    messages: list[Message] = []
    while not messages:
        messages = await puller.fetch(1, wait=1.0)
    await puller.close()
    return (await world.facts(accepted.email_id))[0], messages[0]


async def consumer_of_one(world: Sending) -> None:
    """It is there before the worker, so that somebody else can be first."""
    name = queue_consumer(1, "normal")
    await world.bus.ensure_consumer(
        QUEUE,
        {
            "durable_name": name,
            "name": name,
            "ack_policy": "explicit",
            "ack_wait": int(ACK_WAIT * 1e9),
            "max_ack_pending": 16,
            "max_deliver": -1,
            "filter_subject": queue_subject(1, "normal"),
        },
    )


async def write_move(world: Sending, accepted: Envelope) -> Envelope:
    return await world.fact(
        EmailRerouted(
            email_id=accepted.data["email_id"],
            attempt=1,
            from_provider_id=1,
            provider_id=2,
            route=Route(reason="fallback", domain_id=1, detail="provider 1 (Main relay): gone", home_provider_id=1),
            tried=[1],
        )
    )


def first_attempt(accepted: Envelope) -> Attempt:
    email_id = UUID(accepted.data["email_id"])
    return Attempt(email_id, 1, 1, "normal", accepted.at, accepted.at, accepted.sequence)


@pytest.mark.parametrize("published", [False, True], ids=["before it was published", "before it was acknowledged"])
async def test_a_worker_lost_after_the_fact_has_moved_the_email_once(
    world: Sending, second: ScriptedRelay, *, published: bool
) -> None:
    await consumer_of_one(world)
    running = await world.start_worker(ack_wait=ACK_WAIT)
    accepted, _ = await taken_by_another_worker(world, running)
    move = await write_move(world, accepted)
    if published:
        await running.worker.outcome_log.move(first_attempt(accepted).moved(move), move)
    running.worker.feeding.send_gate.draining = False
    email_id = first_attempt(accepted).email_id
    facts = await world.until_last(email_id, "sent")
    await world.drained()
    assert names(await world.facts(email_id)) == ["accepted", "rerouted", "sent"]
    assert facts[-1].data["provider_id"] == 2
    assert len(second.messages) == 1


async def test_the_same_move_published_again_is_one_message(world: Sending, second: ScriptedRelay) -> None:
    running = await world.start_worker()
    sent = await world.send()
    facts = await world.until_last(sent.email_id, "sent")
    await world.drained()
    before = (await world.bus.stream_state(QUEUE)).last_sequence
    moved = first_attempt(facts[0]).moved(facts[1])
    await running.worker.outcome_log.move(moved, facts[1])
    other = await world.send()
    await world.until_last(other.email_id, "sent")
    await world.drained()
    assert (await world.bus.stream_state(QUEUE)).last_sequence == before + 2, "the other one and its move"
    assert len(second.messages) == 2


async def test_a_move_published_again_much_later_sends_nothing_twice(
    world: Sending, second: ScriptedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the window for duplicates the server takes it again: then it is noticed by the age of the fact."""
    monkeypatch.setattr(suspicion, "CLOCK_SECONDS", 0.0)
    monkeypatch.setattr(suspicion, "PUBLISHED_WITHIN", 0.0)
    running = await world.start_worker()
    sent = await world.send()
    facts = await world.until_last(sent.email_id, "sent")
    await world.drained()
    before = (await world.bus.stream_state(QUEUE)).last_sequence
    await running.worker.outcome_log.schedule(first_attempt(facts[0]).moved(facts[1]))
    async with asyncio.timeout(10):
        while (await world.bus.stream_state(QUEUE)).last_sequence == before:
            await asyncio.sleep(0.02)
    await world.drained()
    assert names(await world.facts(sent.email_id)) == ["accepted", "rerouted", "sent"]
    assert len(second.messages) == 1


async def test_a_moved_email_that_the_queue_lost_is_found_where_it_belongs(
    world: Sending, second: ScriptedRelay
) -> None:
    await consumer_of_one(world)
    running = await world.start_worker(ack_wait=ACK_WAIT)
    accepted, message = await taken_by_another_worker(world, running)
    await write_move(world, accepted)
    await world.bus.ack(message)
    running.worker.feeding.send_gate.draining = False
    await world.drained()
    audit = Audit(world.bus, running.worker.outcome_log, now=lambda: datetime.now(UTC) + timedelta(seconds=61))
    assert await audit.once() == 1
    email_id = first_attempt(accepted).email_id
    facts = await world.until_last(email_id, "sent")
    assert names(facts) == ["accepted", "rerouted", "sent"]
    assert facts[-1].data["provider_id"] == 2
    assert await audit.once() == 0
    assert len(second.messages) == 1


async def test_a_worker_killed_while_it_moves_a_queue_loses_and_doubles_nothing(
    world: Sending, second: ScriptedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 1.0)
    emails = [await world.send() for _ in range(100)]
    lost = await world.start_worker(ack_wait=ACK_WAIT)
    await second.received(20)
    await lost.lose()
    await world.start_worker(ack_wait=ACK_WAIT)
    port = next(each for each in lost.worker.providers.living.values() if each.id == 1).smtp
    assert port is not None
    # What a lost worker had in hand may have been sent for all that anybody knows: it waits for the first provider.
    async with ScriptedRelay(port=port.port) as revived:
        unknowns = 0
        for each in emails:
            facts = await world.until_last(each.email_id, "sent", seconds=40)
            unknowns += names(facts).count("unknown")
        await world.drained()
        copies = Counter(each.raw for each in (*second.messages, *revived.messages))
        assert len(copies) == len(emails)
        assert sum(copies.values()) <= len(emails) + unknowns


async def test_a_long_queue_of_a_dead_provider_is_through_in_seconds_and_keeps_nobody_waiting(
    world: Sending, second: ScriptedRelay
) -> None:
    async with ScriptedRelay() as third:
        await world.provider(3, third.port)
        emails = [await world.send() for _ in range(MANY)]
        began = time.monotonic()
        await world.start_worker()
        other = await world.send(3)
        await world.until_last(other.email_id, "sent", seconds=2)
        async with asyncio.timeout(15):
            await second.received(MANY)
        seconds = time.monotonic() - began
        print(f"\n{MANY} emails through the fallback in {seconds:.2f} s")  # noqa: T201 - the figure, with pytest -s
        assert seconds < 10
        await world.drained()
        for each in emails:
            assert names(await world.facts(each.email_id)) == ["accepted", "rerouted", "sent"]
        assert len(second.messages) == MANY
