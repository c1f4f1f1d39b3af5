"""A provider that cannot send hands its mail to the next one, each email once, and gets it back when it is well."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from libs.common.facts import Envelope
from libs.common.facts.provider import ProviderState
from services.sender.channel import circuit_rules as breaker
from tests.support.relay import Script, ScriptedRelay, hang, lose, say
from tests.support.sending import RunningWorker, Sending, names

ADA = "ada@example.com"


@dataclass
class Pair:
    """Provider 1 with provider 2 as its fallback."""

    world: Sending
    first: ScriptedRelay
    second: ScriptedRelay
    main: ProviderState
    spare: ProviderState

    async def kill_first(self) -> None:
        await self.first.__aexit__(None, None, None)

    def through(self) -> tuple[int, int]:
        return len(self.first.messages), len(self.second.messages)


@asynccontextmanager
async def pair(
    world: Sending, script: Script | None = None, other: Script | None = None, *, login: Any = None, **settings: Any
) -> AsyncIterator[Pair]:
    async with ScriptedRelay(script, login=login) as first, ScriptedRelay(other) as second:
        spare = await world.provider(2, second.port)
        main = await world.provider(1, first.port, name="Main relay", fallback_provider_ids=[2], **settings)
        yield Pair(world, first, second, main, spare)


def rerouted(facts: list[Envelope]) -> list[tuple[int, int, int]]:
    """Attempt, from and to of every move."""
    moves = [fact.data for fact in facts if fact.name == "email.rerouted"]
    return [(move["attempt"], move["from_provider_id"], move["provider_id"]) for move in moves]


async def until(condition: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


def circuit_is_open(running: RunningWorker, provider_id: int) -> bool:
    closed = running.worker.channels[provider_id].closed()
    return closed is not None and closed.kind == "circuit"


async def test_mail_of_a_dead_provider_goes_through_the_next_one_at_once(world: Sending) -> None:
    async with pair(world) as both:
        running = await world.start_worker()
        await both.kill_first()
        for _ in range(3):
            began = time.monotonic()
            sent = await world.send()
            facts = await world.until_last(sent.email_id, "sent")
            assert time.monotonic() - began < 2
            assert names(facts) == ["accepted", "rerouted", "sent"]
            assert rerouted(facts) == [(1, 1, 2)]
        move, outcome = facts[1].data, facts[2].data
        assert (move["tried"], move["route"]["reason"], move["route"]["domain_id"]) == ([1], "fallback", 1)
        assert move["route"]["detail"].startswith("provider 1 (Main relay): 127.0.0.1"), move
        assert (outcome["attempt"], outcome["provider_id"]) == (1, 2)
        assert facts[0].correlationid == facts[1].correlationid == facts[2].correlationid == "test"
        emails = [await world.send() for _ in range(20)]
        for each in emails:
            facts = await world.until_last(each.email_id, "sent")
            assert rerouted(facts) == [(1, 1, 2)]
        assert circuit_is_open(running, 1)
        assert "provider 1 (Main relay): circuit open after 5 failures: " in facts[1].data["route"]["detail"]
        await world.drained()
        assert both.through() == (0, 23)


async def test_mail_returns_to_the_first_provider_when_it_is_well_again(
    world: Sending, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 1.0)
    caplog.set_level("INFO")
    async with pair(world) as both:
        running = await world.start_worker()
        await both.kill_first()
        before = [await world.send() for _ in range(10)]
        for each in before:
            await world.until_last(each.email_id, "sent")
        assert circuit_is_open(running, 1)
        async with ScriptedRelay(port=both.first.port) as revived:
            await until(lambda: not circuit_is_open(running, 1))
            after = [await world.send() for _ in range(10)]
            for each in after:
                await world.until_last(each.email_id, "sent")
            await world.drained()
            assert (len(revived.messages) + len(both.second.messages), len(before) + len(after)) == (20, 20)
            last = await world.send()
            assert names(await world.until_last(last.email_id, "sent")) == ["accepted", "sent"]
            assert len(revived.messages) > 1
    assert "provider 1 (Main relay): circuit open after 5 failures" in caplog.text
    assert "provider 1 (Main relay): the circuit is closed again" in caplog.text


async def test_a_provider_that_refuses_its_credentials_is_stopped_and_stood_in_for(world: Sending) -> None:
    async with pair(world, login=("user", "right"), credential_version="v1") as both:
        await world.secret(1, "v1", "user", "wrong")
        running = await world.start_worker()
        emails = [await world.send() for _ in range(5)]
        for each in emails:
            facts = await world.until_last(each.email_id, "sent")
            assert rerouted(facts) == [(1, 1, 2)]
        living = running.worker.providers.living
        await until(lambda: living[1].stopped is not None)
        later = await world.send()
        assert later.provider_id == 2, "accepted for the fallback at once"
        facts = await world.until_last(later.email_id, "sent")
        assert names(facts) == ["accepted", "sent"]
        route = facts[0].data["route"]
        assert (route["reason"], route["home_provider_id"]) == ("fallback", 1)
        assert route["detail"].startswith("provider 1 (Main relay): stopped: ")
        await world.secret(1, "v2", "user", "right")
        await world.update(both.main, credential_version="v2", stopped=None)
        await until(lambda: living[1].stopped is None)
        back = await world.send()
        assert names(await world.until_last(back.email_id, "sent")) == ["accepted", "sent"]
        await world.drained()
        assert both.through() == (1, 6)


async def test_mail_of_a_provider_whose_quota_is_used_up_goes_elsewhere_until_a_try_succeeds(
    world: Sending, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "QUOTA_PAUSE", 1.0)
    script: Script = {"dot": [say("454 Throttling failure: Daily message quota exceeded.")]}
    async with pair(world, script) as both:
        running = await world.start_worker()
        one = await world.send()
        facts = await world.until_last(one.email_id, "sent")
        assert rerouted(facts) == [(1, 1, 2)]
        closed = running.worker.channels[1].closed()
        assert closed is not None
        assert closed.kind == "quota"
        two = await world.send()
        facts = await world.until_last(two.email_id, "sent")
        assert "its quota is used up: Throttling failure" in facts[1].data["route"]["detail"]
        await until(lambda: running.worker.channels[1].ready)
        three = await world.send()
        assert names(await world.until_last(three.email_id, "sent")) == ["accepted", "sent"]
        await world.drained()
        assert both.through() == (1, 2)


async def test_without_a_fallback_mail_waits_for_the_quota(world: Sending, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "QUOTA_PAUSE", 1.0)
    async with ScriptedRelay({"dot": [say("454 Throttling failure: Daily message quota exceeded.")]}) as relay:
        await world.provider(1, relay.port)
        await world.start_worker()
        one = await world.send()
        await world.until(one.email_id, lambda found: "deferred" in found)
        two = await world.send()
        facts = await world.until_last(two.email_id, "sent")
        assert names(facts) == ["accepted", "sent"]
        assert (facts[1].at - facts[0].at).total_seconds() > 0.5
        assert (await world.until_last(one.email_id, "sent"))[1].data["reason"] == "quota"


@pytest.mark.parametrize(
    ("script", "event"),
    [
        ({"RCPT": say("550 5.1.1 no such user")}, "bounced"),
        ({"RCPT": say("550 5.7.1 not allowed")}, "failed"),
        ({"MAIL": say("550 5.7.1 sender refused")}, "failed"),
        ({"DATA": say("554 5.5.1 no valid recipients")}, "failed"),
        ({"dot": say("554 5.7.1 this is spam")}, "failed"),
        ({"dot": say("550 5.7.1 policy")}, "failed"),
    ],
)
async def test_a_refused_message_never_goes_elsewhere_and_opens_no_circuit(
    world: Sending, script: Script, event: str
) -> None:
    async with pair(world, script) as both:
        running = await world.start_worker()
        for _ in range(breaker.FAILURES + 1):
            sent = await world.send()
            assert names(await world.until_last(sent.email_id, event)) == ["accepted", event]
        assert running.worker.channels[1].closed() is None
        assert both.second.sessions == []


async def test_a_fallback_that_refuses_an_email_does_not_fail_it(world: Sending) -> None:
    refusing = {"RCPT": say("553 5.7.1 Sender address rejected: not owned by user")}
    async with pair(world, other=refusing) as both:
        await world.start_worker()
        await both.kill_first()
        sent = await world.send()
        facts = await world.until_last(sent.email_id, "deferred")
        assert names(facts) == ["accepted", "rerouted", "deferred"]
        deferred = facts[-1].data
        assert (deferred["provider_id"], deferred["next_provider_id"], deferred["reason"]) == (
            2,
            1,
            "refused_by_fallback",
        )
        assert deferred["recipients"][0]["smtp_code"] == 553
        async with ScriptedRelay(port=both.first.port) as revived:
            await world.until_last(sent.email_id, "sent")
            assert (len(revived.messages), len(both.second.messages)) == (1, 0)


async def test_a_fallback_that_refuses_an_email_hands_it_to_the_next(world: Sending) -> None:
    async with pair(world, other={"MAIL": say("550 5.7.1 not your sender")}) as both, ScriptedRelay() as third:
        await world.provider(3, third.port)
        await world.update(both.main, fallback_provider_ids=[2, 3])
        await world.start_worker()
        await both.kill_first()
        sent = await world.send()
        facts = await world.until_last(sent.email_id, "sent")
        assert rerouted(facts) == [(1, 1, 2), (1, 2, 3)]
        assert "refused it: 5.7.1 not your sender" in facts[2].data["route"]["detail"]
        assert len(third.messages) == 1


async def test_an_address_at_fault_is_final_at_a_fallback_too(world: Sending) -> None:
    async with pair(world, other={"RCPT": say("550 5.1.1 no such user")}) as both:
        await world.start_worker()
        await both.kill_first()
        sent = await world.send()
        facts = await world.until_last(sent.email_id, "bounced")
        assert rerouted(facts) == [(1, 1, 2)]


async def test_an_unknown_outcome_never_goes_elsewhere_even_when_the_provider_dies_afterwards(world: Sending) -> None:
    async with pair(world, {"dot": [lose()]}) as both:
        running = await world.start_worker()
        sent = await world.send()
        await both.first.received(1)
        await both.kill_first()
        other = [await world.send() for _ in range(8)]
        for each in other:
            assert rerouted(await world.until_last(each.email_id, "sent")) == [(1, 1, 2)]
        assert circuit_is_open(running, 1)
        facts = await world.facts(sent.email_id)
        assert names(facts)[:2] == ["accepted", "unknown"]
        async with ScriptedRelay(port=both.first.port) as revived:
            await world.until(sent.email_id, lambda found: found[-1] in ("sent", "failed"), seconds=40)
            facts = await world.facts(sent.email_id)
            assert rerouted(facts) == []
            assert all(fact.data["provider_id"] == 1 for fact in facts)
            assert not any(str(sent.email_id).encode() in each.raw for each in both.second.messages)
            assert len(revived.messages) <= 1


async def test_when_nobody_can_send_it_is_deferred_once_per_attempt(world: Sending) -> None:
    async with pair(world) as both:
        await world.start_worker()
        await both.kill_first()
        await both.second.__aexit__(None, None, None)
        sent = await world.send()
        facts = await world.until_last(sent.email_id, "failed")
        assert names(facts) == ["accepted", *["rerouted", "deferred"] * 3, "rerouted", "failed"]
        assert rerouted(facts) == [(attempt, 1, 2) for attempt in (1, 2, 3, 4)]
        deferrals = [fact.data for fact in facts if fact.name == "email.deferred"]
        assert [(each["provider_id"], each["next_provider_id"]) for each in deferrals] == [(2, 1)] * 3
        await world.drained()


async def test_a_frozen_provider_costs_the_first_email_some_seconds_and_the_next_ones_nothing(world: Sending) -> None:
    async with pair(world, {"connect": hang()}) as both:
        await world.start_worker()
        began = time.monotonic()
        sent = await world.send()
        await world.until_last(sent.email_id, "sent", seconds=15)
        assert time.monotonic() - began < 12
        began = time.monotonic()
        more = [await world.send() for _ in range(10)]
        for each in more:
            await world.until_last(each.email_id, "sent")
        assert time.monotonic() - began < 2
        assert both.through() == (0, 11)


async def test_a_deferral_at_the_fallback_returns_to_the_first_provider(world: Sending) -> None:
    async with pair(world, {"connect": [say("421 later", "close")]}, {"RCPT": [say("451 4.7.1 greylisted")]}) as both:
        await world.start_worker()
        sent = await world.send()
        facts = await world.until_last(sent.email_id, "sent")
        assert names(facts) == ["accepted", "rerouted", "deferred", "sent"]
        assert [fact.data["provider_id"] for fact in facts] == [1, 2, 2, 1]
        assert both.through() == (1, 0)


async def test_a_third_provider_is_asked_when_two_cannot_send(world: Sending) -> None:
    busy = {"connect": say("421 4.3.2 closing", "close")}
    async with ScriptedRelay(busy) as first, ScriptedRelay(busy) as second, ScriptedRelay() as third:
        for number, relay in ((3, third), (2, second)):
            await world.provider(number, relay.port)
        await world.provider(1, first.port, fallback_provider_ids=[2, 3])
        await world.start_worker()
        sent = await world.send()
        facts = await world.until_last(sent.email_id, "sent")
        assert rerouted(facts) == [(1, 1, 2), (1, 2, 3)]
        assert facts[2].data["tried"] == [1, 2]
        assert "421" in facts[2].data["route"]["detail"] or "closing" in facts[2].data["route"]["detail"]
        assert len(third.messages) == 1


async def test_a_provider_that_wants_less_per_second_gets_less_and_keeps_its_mail(world: Sending) -> None:
    slow_down = say("454 4.7.0 Throttling failure: Maximum sending rate exceeded.")
    async with pair(world, {"dot": [slow_down, slow_down]}) as both:
        await world.start_worker()
        sent = await world.send()
        facts = await world.until_last(sent.email_id, "sent")
        assert names(facts) == ["accepted", "sent"], "it was offered again without ending the attempt"
        await world.drained()
        assert both.through() == (1, 0)


async def test_queued_mail_of_a_provider_that_is_made_inactive_goes_to_its_fallback(world: Sending) -> None:
    async with pair(world) as both:
        queued = [await world.send() for _ in range(5)]
        await world.update(both.main, is_active=False)
        await world.start_worker()
        for each in queued:
            facts = await world.until_last(each.email_id, "sent")
            assert rerouted(facts) == [(1, 1, 2)]
            assert facts[1].data["route"]["detail"] == "provider 1 (Main relay): inactive"
        assert both.through() == (0, 5)


async def test_queued_mail_of_an_inactive_provider_waits_while_its_fallback_is_inactive_too(world: Sending) -> None:
    async with pair(world) as both:
        queued = await world.send()
        await world.update(both.main, is_active=False)
        spare = await world.update(both.spare, is_active=False)
        await world.start_worker()
        await asyncio.sleep(0.5)
        assert names(await world.facts(queued.email_id)) == ["accepted"]
        await world.update(spare, is_active=True)
        assert rerouted(await world.until_last(queued.email_id, "sent")) == [(1, 1, 2)]


async def test_mail_of_a_deleted_provider_goes_to_its_last_fallbacks_before_the_default(world: Sending) -> None:
    async with pair(world) as both, ScriptedRelay() as default:
        await world.provider(3, default.port, is_default=True)
        queued = await world.send()
        await world.delete(both.main)
        await world.start_worker()
        facts = await world.until_last(queued.email_id, "sent")
        assert rerouted(facts) == [(1, 1, 2)]
        assert facts[1].data["route"]["reason"] == "fallback"
        assert default.messages == []


async def test_mail_of_a_deleted_provider_does_not_end_in_the_bundled_inbox(world: Sending) -> None:
    async with ScriptedRelay() as inbox:
        doomed = await world.provider(1, 25)
        queued = await world.send(1)
        await world.provider(2, inbox.port, is_default=True, is_local_inbox=True)
        await world.delete(doomed)
        await world.start_worker()
        facts = await world.until_last(queued.email_id, "failed")
        assert facts[-1].data["reason"] == "provider_deleted"
        assert inbox.messages == []


async def test_an_email_that_is_too_much_for_the_fallback_is_not_given_to_it(world: Sending) -> None:
    async with ScriptedRelay() as third:
        await world.provider(3, third.port)
        await world.provider(2, 25, provider_type="scaleway", smtp=None, region="fr-par")
        await world.provider(1, 1, fallback_provider_ids=[2, 3])
        await world.start_worker()
        sent = await world.send(to=[f"r{number}@example.com" for number in range(11)])
        facts = await world.until_last(sent.email_id, "sent")
        assert rerouted(facts) == [(1, 1, 3)]
