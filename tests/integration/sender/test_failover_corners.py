"""Failover where nobody is well for long: who waits, who goes home, and who has to stay."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from libs.common.facts.email import EmailRerouted, Route
from libs.common.jetstream.streams import QUEUE
from services.sender.channel import circuit_rules as breaker
from services.sender.deliver import decide
from services.sender.deliver.attempt_rules import first_attempt
from tests.support.relay import ScriptedRelay, lose
from tests.support.sending import RunningWorker, Sending, names


async def until(condition: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def kind(running: RunningWorker, provider_id: int) -> str | None:
    closed = running.worker.channels[provider_id].closed()
    return closed.kind if closed is not None else None


async def test_an_attempt_that_has_to_stay_makes_room_and_waits_for_its_provider(
    world: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decide, "PARKED", timedelta(seconds=0.5))
    async with ScriptedRelay({"dot": [lose()]}) as first, ScriptedRelay() as second:
        await world.provider(2, second.port)
        main = await world.provider(1, first.port, fallback_provider_ids=[2], max_connections=1)
        running = await world.start_worker()
        stays = await world.send()
        await first.received(1)
        inactive = await world.update(main, is_active=False)
        await until(lambda: kind(running, 1) == "inactive")
        async with asyncio.timeout(10):
            while (await world.bus.stream_state(QUEUE)).last_sequence < 3:  # the mail, its second attempt, parked once
                await asyncio.sleep(0.02)
        assert names(await world.facts(stays.email_id)) == ["accepted", "unknown"]
        await world.update(inactive, is_active=True)
        facts = await world.until_last(stays.email_id, "sent")
        assert names(facts) == ["accepted", "unknown", "sent"]
        assert facts[-1].data["provider_id"] == 1
        assert second.messages == []


async def test_mail_at_a_fallback_that_is_closed_meanwhile_goes_home(world: Sending) -> None:
    async with ScriptedRelay() as first, ScriptedRelay() as second:
        spare = await world.provider(2, second.port)
        await world.provider(1, first.port, fallback_provider_ids=[2])
        sent = await world.send()
        async with asyncio.timeout(10):
            while not (await world.bus.stream_state(QUEUE)).messages:
                await asyncio.sleep(0.02)
        await world.bus.api(f"STREAM.PURGE.{QUEUE}")  # another worker has had it
        await world.update(spare, is_active=False)
        running = await world.start_worker()
        accepted = (await world.facts(sent.email_id))[0]
        route = Route(reason="fallback", domain_id=1, detail="it was dead then", home_provider_id=1)
        fact = EmailRerouted(
            email_id=sent.email_id, attempt=1, from_provider_id=1, provider_id=2, route=route, tried=[1]
        )
        move = await world.fact(fact)
        await running.worker.outcome_log.move(first_attempt(accepted, provider_id=1, lane="normal").moved(move), move)
        facts = await world.until_last(sent.email_id, "sent")
        assert names(facts) == ["accepted", "rerouted", "deferred", "sent"]
        assert [fact.data["provider_id"] for fact in facts] == [1, 2, 2, 1]
        assert facts[2].data["recipients"][0]["text"] == "provider 2 (Relay 2): inactive"
        await world.drained()
        assert (len(first.messages), len(second.messages)) == (1, 0)


async def test_a_fallback_without_mail_of_its_own_is_tried_out_by_others(
    world: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.5)
    monkeypatch.setattr(breaker, "FAILURES", 3)
    async with ScriptedRelay() as second:
        await world.provider(2, second.port)
        main = await world.provider(1, 25, fallback_provider_ids=[2])
        sent = await world.send()
        await world.update(main, is_active=False)
        await second.__aexit__(None, None, None)
        running = await world.start_worker()
        await until(lambda: kind(running, 2) == "circuit", seconds=20)
        async with ScriptedRelay(port=second.port):
            facts = await world.until_last(sent.email_id, "sent")
            assert names(facts) == ["accepted", *["rerouted", "deferred"] * 3, "rerouted", "sent"]
            assert running.worker.channels[2].closed() is None


async def test_two_providers_that_stand_in_for_each_other_play_no_ping_pong(
    world: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.5)
    async with ScriptedRelay() as first, ScriptedRelay() as second:
        one = await world.provider(1, first.port)
        await world.provider(2, second.port, fallback_provider_ids=[1])
        await world.update(one, fallback_provider_ids=[2])
        running = await world.start_worker()
        await first.__aexit__(None, None, None)
        await second.__aexit__(None, None, None)
        emails = [await world.send(1 + number % 2) for number in range(10)]
        await until(lambda: kind(running, 1) == kind(running, 2) == "circuit", seconds=20)
        moves: list[Any] = []
        async with ScriptedRelay(port=first.port), ScriptedRelay(port=second.port):
            for each in emails:
                facts = await world.until(each.email_id, lambda found: found[-1] in ("sent", "failed"), seconds=40)
                moves += [(each.email_id, fact.data["attempt"]) for fact in facts if fact.name == "email.rerouted"]
        assert moves
        assert len(set(moves)) == len(moves), "each attempt moved once at most"
