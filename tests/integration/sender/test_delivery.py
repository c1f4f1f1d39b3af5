"""From the accepted fact to the relay and back into the log."""

import asyncio
from dataclasses import replace
from typing import Any

import orjson

from libs.common.jetstream.append import publish_durably
from libs.common.jetstream.content import EMAIL_ID_HEADER
from libs.common.jetstream.streams import CONTENT, QUEUE, SCHEDULE, content_subject, stream_configs
from services.sender.deliver.attempt_rules import Attempt
from tests.support.relay import Act, Script, ScriptedRelay, hang, lose, say
from tests.support.sending import Sending, names


async def test_an_accepted_email_is_delivered_and_its_facts_say_so(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port)
        await world.start_worker()
        accepted = await world.send(to=["ada@example.com", "Bob <bob@example.com>"])
        assert accepted.status == "queued"
        facts = await world.until_last(accepted.email_id, "sent")
        assert names(facts) == ["accepted", "sent"]
        sent = facts[-1].data
        assert [(each["address"], each["outcome"]) for each in sent["recipients"]] == [
            ("ada@example.com", "accepted"),
            ("bob@example.com", "accepted"),
        ]
        assert (sent["attempt"], sent["next_at"], sent["captured"]) == (1, None, False)
        await world.drained()
        assert len(relay.messages) == 1
        assert relay.messages[0].recipients == ("ada@example.com", "bob@example.com")
        assert sent["provider_message_id"] in relay.messages[0].raw.decode()


async def test_mail_that_the_bundled_inbox_takes_is_captured(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port, is_local_inbox=True, is_default=True)
        await world.start_worker()
        accepted = await world.send(sender="someone@unregistered.example")
        facts = await world.until_last(accepted.email_id, "sent")
        assert facts[-1].data["captured"] is True
        assert facts[0].data["route"]["reason"] == "default"


async def test_a_deferral_is_tried_again_for_those_who_are_owed_one(world: Sending) -> None:
    script: Script = {"RCPT:bob@example.com": [say("450 4.2.1 busy")], "RCPT:eve@example.com": say("550 5.1.1 nobody")}
    async with ScriptedRelay(script) as relay:
        await world.provider(1, relay.port)
        await world.start_worker()
        accepted = await world.send(to=["ada@example.com", "bob@example.com", "eve@example.com"])
        facts = await world.until(accepted.email_id, lambda found: found.count("sent") == 2)
        assert names(facts) == ["accepted", "sent", "sent"]
        first, second = facts[1].data, facts[2].data
        assert [each["outcome"] for each in first["recipients"]] == ["accepted", "deferred", "bounced"]
        assert first["next_at"] is not None
        assert [each["address"] for each in second["recipients"]] == ["bob@example.com"]
        assert (second["attempt"], second["next_at"]) == (2, None)
        assert [each.recipients for each in relay.messages] == [("ada@example.com",), ("bob@example.com",)]
        await world.drained()


async def test_a_permanent_refusal_bounces_at_once(world: Sending) -> None:
    async with ScriptedRelay({"RCPT": say("550 5.1.1 no such user")}) as relay:
        await world.provider(1, relay.port)
        await world.start_worker()
        accepted = await world.send()
        facts = await world.until_last(accepted.email_id, "bounced")
        assert names(facts) == ["accepted", "bounced"]
        assert facts[-1].data["recipients"][0]["enhanced_status"] == "5.1.1"


async def test_an_email_deferred_again_and_again_is_given_up(world: Sending) -> None:
    async with ScriptedRelay({"RCPT": say("451 4.3.0 later")}) as relay:
        await world.provider(1, relay.port)
        await world.start_worker()
        accepted = await world.send()
        facts = await world.until_last(accepted.email_id, "failed")
        assert names(facts) == ["accepted", "deferred", "deferred", "deferred", "failed"]
        assert facts[-1].data["reason"] == "gave_up"
        assert facts[-1].data["recipients"][0]["outcome"] == "failed"
        await world.drained()


async def test_no_answer_after_the_final_dot_is_unknown_and_tried_again(world: Sending) -> None:
    async with ScriptedRelay({"dot": [lose()]}) as relay:
        await world.provider(1, relay.port)
        await world.start_worker()
        accepted = await world.send()
        facts = await world.until_last(accepted.email_id, "sent")
        assert names(facts) == ["accepted", "unknown", "sent"]
        assert facts[1].data["stage"] == "final_dot"
        assert facts[1].data["next_at"] is not None
        assert facts[2].data["attempt"] == 2


async def test_an_unknown_outcome_is_left_to_a_person_where_the_provider_says_hold(world: Sending) -> None:
    async with ScriptedRelay({"dot": [lose()]}) as relay:
        await world.provider(1, relay.port, unknown_policy="hold")
        await world.start_worker()
        accepted = await world.send()
        facts = await world.until_last(accepted.email_id, "unknown")
        assert (facts[1].data["policy"], facts[1].data["next_at"]) == ("hold", None)
        await world.drained()
        assert (await world.bus.stream_state(SCHEDULE)).messages == 0


async def test_mail_for_a_dead_relay_waits_and_other_mail_does_not(world: Sending) -> None:
    async with ScriptedRelay() as alive, ScriptedRelay() as dead:
        await world.provider(1, dead.port)
        await world.provider(2, alive.port)
        await dead.__aexit__(None, None, None)
        worker = await world.start_worker()
        waiting = [await world.send(1) for _ in range(20)]
        others = [await world.send(2) for _ in range(20)]
        for each in others:
            await world.until_last(each.email_id, "sent")
        channel = worker.worker.channels[1]
        async with asyncio.timeout(10):
            while channel.ready:
                await asyncio.sleep(0.02)
        tried = [names(await world.facts(each.email_id)) for each in waiting]
        assert sum(len(found) - 1 for found in tried) < len(waiting)
        assert all(set(found) <= {"accepted", "deferred"} for found in tried)
        revived = ScriptedRelay(port=dead.port)
        async with revived:
            for each in waiting:
                await world.until_last(each.email_id, "sent", seconds=30)
            assert len(revived.messages) == len(waiting)


async def test_lost_content_fails_the_email_and_sends_nobody_elses(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port)
        gone, swapped = await world.send(), await world.send()
        facts = await world.facts(gone.email_id)
        sequence = facts[0].data["content"]["sequence"]
        await world.bus.api(f"STREAM.MSG.DELETE.{CONTENT}", {"seq": sequence})
        other = (await world.facts(swapped.email_id))[0].data["content"]["sequence"]
        await world.bus.api(f"STREAM.MSG.DELETE.{CONTENT}", {"seq": other})
        await world.start_worker()
        for each in (gone, swapped):
            facts = await world.until_last(each.email_id, "failed")
            assert facts[-1].data["reason"] == "content_lost"
        await world.drained()
        assert relay.messages == []


async def test_content_that_is_anothers_is_never_sent(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port)
        accepted = await world.send()
        fact = (await world.facts(accepted.email_id))[0]
        stored = await world.bus.direct_get(CONTENT, fact.data["content"]["sequence"])
        assert stored is not None
        foreign = await publish_durably(
            world.bus,
            content_subject("00"),
            stored.data,
            msg_id="foreign",
            headers={EMAIL_ID_HEADER: "0190a000-0000-7000-8000-000000000000"},
        )
        data = {**fact.data, "content": {**fact.data["content"], "sequence": foreign}}
        email_store = (await world.start_worker()).worker.feeding.deliver.email_store
        assert await email_store.content(fact) is not None
        assert await email_store.content(fact._replace(data=data)) is None
        damaged = {**fact.data, "content": {**fact.data["content"], "sha256": "0" * 64}}
        assert await email_store.content(fact._replace(data=damaged)) is None


async def test_mail_of_a_deleted_provider_goes_to_the_default(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        doomed = await world.provider(1, relay.port)
        accepted = await world.send(1)
        await world.delete(doomed)
        await world.provider(2, relay.port, is_default=True)
        await world.start_worker()
        facts = await world.until_last(accepted.email_id, "sent")
        assert names(facts) == ["accepted", "rerouted", "sent"]
        assert (facts[1].data["from_provider_id"], facts[1].data["provider_id"]) == (1, 2)
        assert facts[2].data["provider_id"] == 2
        await world.drained()
        assert len(relay.messages) == 1


async def test_mail_of_a_deleted_provider_fails_without_a_default(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        doomed = await world.provider(1, relay.port)
        accepted = await world.send(1)
        await world.delete(doomed)
        await world.start_worker()
        facts = await world.until_last(accepted.email_id, "failed")
        assert facts[-1].data["reason"] == "provider_deleted"
        await world.drained()


async def test_refused_credentials_stop_the_provider_and_keep_its_mail(world: Sending) -> None:
    async with ScriptedRelay(login=("user", "right")) as relay:
        state = await world.provider(1, relay.port, credential_version="v1")
        await world.secret(1, "v1", "user", "wrong")
        worker = await world.start_worker()
        accepted = await world.send()
        facts = await world.until(accepted.email_id, lambda found: "deferred" in found)
        assert facts[1].data["reason"] == "configuration"
        await _until(lambda: worker.worker.providers.living[1].stopped is not None)
        stopped = worker.worker.providers.living[1].stopped
        assert stopped is not None
        assert "535" in stopped.reason or "credentials" in stopped.reason
        later = await world.send()
        await asyncio.sleep(0.5)
        assert names(await world.facts(later.email_id)) == ["accepted"]
        await world.secret(1, "v2", "user", "right")
        await world.update(state, credential_version="v2", stopped=None)
        for each in (accepted, later):
            await world.until_last(each.email_id, "sent")
        assert relay.messages[0].session.login == ("PLAIN", "user", "right")


async def test_two_providers_stopped_at_once_are_both_stopped(world: Sending) -> None:
    """Both append over the whole set: one of them finds a wrong last sequence (10071) and decides again."""
    states = [await world.provider(number, 25) for number in (1, 2, 3)]
    workers = [await world.start_worker() for _ in range(3)]
    await asyncio.gather(
        *(
            running.worker.outcome_log.stop_provider(state, f"reason {state.id}")
            for running, state in zip(workers, states, strict=True)
        )
    )
    for running in workers:
        living = running.worker.providers.living
        await _until(lambda living=living: all(each.stopped is not None for each in living.values()))
        reasons = [each.stopped.reason for _, each in sorted(living.items()) if each.stopped is not None]
        assert reasons == ["reason 1", "reason 2", "reason 3"]


async def test_old_credentials_do_not_stop_a_provider_that_has_new_ones(world: Sending) -> None:
    state = await world.provider(1, 25, credential_version="v1")
    running = await world.start_worker()
    await world.update(state, credential_version="v2")
    living = running.worker.providers.living
    await _until(lambda: living[1].credential_version == "v2")
    await running.worker.outcome_log.stop_provider(state, "the old password was refused")
    assert living[1].stopped is None


async def test_a_provider_is_not_given_more_than_its_rate(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port, rate_limit_per_second=10)
        await world.start_worker()
        emails = [await world.send() for _ in range(11)]
        began = asyncio.get_running_loop().time()
        await relay.received(1)
        await relay.received(len(emails))
        assert asyncio.get_running_loop().time() - began > 0.8


async def test_changed_settings_are_used_for_the_next_message(world: Sending) -> None:
    async with ScriptedRelay() as old, ScriptedRelay() as new:
        state = await world.provider(1, old.port)
        running = await world.start_worker()
        await world.until_last((await world.send()).email_id, "sent")
        smtp = {**state.model_dump()["smtp"], "port": new.port}
        await world.update(state, smtp=smtp, max_connections=2)
        await _until(lambda: running.worker.channels[1].connections == 2)
        await world.until_last((await world.send()).email_id, "sent")
        assert (len(old.messages), len(new.messages)) == (1, 1)


async def test_an_inactive_provider_keeps_its_queued_mail(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        state = await world.provider(1, relay.port)
        accepted = await world.send()
        inactive = await world.update(state, is_active=False)
        await world.start_worker()
        await asyncio.sleep(0.5)
        assert names(await world.facts(accepted.email_id)) == ["accepted"]
        await world.update(inactive, is_active=True)
        await world.until_last(accepted.email_id, "sent")


async def test_a_second_copy_of_an_attempt_in_hand_is_not_sent(world: Sending) -> None:
    async with ScriptedRelay({"dot": [slow("250 ok", 1.5)]}) as relay:
        await world.provider(1, relay.port)
        worker = await world.start_worker()
        accepted = await world.send()
        await relay.reached("dot")
        fact = (await world.facts(accepted.email_id))[0]
        copy = Attempt(accepted.email_id, 1, 1, "normal", fact.at, fact.at, fact.sequence)
        await worker.worker.outcome_log.schedule(copy)
        await _until(lambda: any(held.copies for held in worker.worker.feeding.in_flight.held.values()))
        await world.until_last(accepted.email_id, "sent")
        await world.drained()
        assert names(await world.facts(accepted.email_id)) == ["accepted", "sent"]
        assert len(relay.messages) == 1


async def test_a_redelivered_deferral_schedules_again_and_sends_nothing(world: Sending) -> None:
    async with ScriptedRelay({"RCPT": [say("451 4.3.0 later")]}) as relay:
        await world.provider(1, relay.port)
        worker = await world.start_worker()
        accepted = await world.send()
        facts = await world.until_last(accepted.email_id, "sent")
        first = Attempt(accepted.email_id, 1, 1, "normal", facts[0].at, facts[0].at, facts[0].sequence)
        await worker.worker.outcome_log.schedule(first)
        await _until_state(world, lambda state: state["last_seq"] >= 4)
        await world.drained()
        assert names(await world.facts(accepted.email_id)) == ["accepted", "deferred", "sent"]
        assert len(relay.messages) == 1


async def test_a_queue_that_is_made_anew_sends_nothing_twice(world: Sending) -> None:
    async with ScriptedRelay({"RCPT:late@example.com": [say("451 4.3.0 later")]}) as relay:
        await world.provider(1, relay.port)
        worker = await world.start_worker()
        done = [await world.send() for _ in range(30)]
        done.append(await world.send(to="late@example.com"))
        for each in done:
            await world.until_last(each.email_id, "sent")
        await world.drained()
        await world.bus.api(f"STREAM.DELETE.{QUEUE}")
        config = next(each for each in stream_configs() if each["name"] == QUEUE)
        await world.bus.api(f"STREAM.CREATE.{QUEUE}", config)
        fresh = await world.send()
        await world.until_last(fresh.email_id, "sent")
        await world.drained()
        assert len(relay.messages) == len(done) + 1
        await worker.stop()
        # The same once more with a worker that was not there.
        await world.bus.api(f"STREAM.DELETE.{QUEUE}")
        await world.bus.api(f"STREAM.CREATE.{QUEUE}", config)
        await world.start_worker()
        await world.drained()
        assert len(relay.messages) == len(done) + 1
        for each in done:
            assert names(await world.facts(each.email_id)) in (
                ["accepted", "sent"],
                ["accepted", "deferred", "sent"],
            )


async def test_what_is_no_attempt_is_dropped_and_the_rest_goes_on(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port)
        await world.start_worker()
        headers = {
            "Nats-Schedule": "@at 2026-01-01T00:00:00Z",
            "Nats-Schedule-Target": "schedule.due.1.normal",
        }
        await publish_durably(world.bus, "schedule.at.x", b"junk", msg_id="junk", headers=headers)
        await publish_durably(world.bus, "schedule.at.y", orjson.dumps({"a": 1}), msg_id="odd", headers=headers)
        await _until_state(world, lambda state: state["last_seq"] >= 2)
        accepted = await world.send()
        await world.until_last(accepted.email_id, "sent")
        await world.drained()


async def test_a_stop_finishes_what_is_on_the_wire_and_hands_back_the_rest(world: Sending) -> None:
    async with ScriptedRelay({"dot": [slow("250 ok", 1.0)], "MAIL": [say("250 ok"), hang()]}) as relay:
        await world.provider(1, relay.port, max_connections=2)
        worker = await world.start_worker(drain_seconds=2.0)
        finished, stuck = await world.send(), await world.send()
        await relay.reached("dot")
        await relay.reached("MAIL", 2)
        began = asyncio.get_running_loop().time()
        await worker.stop()
        assert asyncio.get_running_loop().time() - began < 5
        facts = {each.email_id: names(await world.facts(each.email_id)) for each in (finished, stuck)}
        assert sorted(facts.values()) == [["accepted"], ["accepted", "sent"]]
        await world.start_worker()
        for each in (finished, stuck):
            assert names(await world.until_last(each.email_id, "sent")) == ["accepted", "sent"]
        assert len(relay.messages) == 2


async def test_a_lost_workers_attempt_is_unknown_and_tried_once_more(world: Sending) -> None:
    async with ScriptedRelay({"dot": [hang()]}) as relay:
        await world.provider(1, relay.port)
        lost = await world.start_worker()
        accepted = await world.send()
        await relay.reached("dot")
        await lost.lose()
        await world.start_worker()
        facts = await world.until_last(accepted.email_id, "sent")
        assert names(facts) == ["accepted", "unknown", "sent"]
        assert (facts[1].data["stage"], facts[1].data["attempt"]) == ("worker_lost", 1)
        assert facts[2].data["attempt"] == 2
        await world.drained()


async def test_mail_that_waited_for_a_worker_is_not_taken_for_a_lost_workers(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(1, relay.port)
        await (await world.start_worker()).stop()
        waiting = [await world.send() for _ in range(10)]
        await world.start_worker()
        for each in waiting:
            assert names(await world.until_last(each.email_id, "sent")) == ["accepted", "sent"]


def slow(reply: str, seconds: float) -> Act:
    return replace(say(reply), delay=seconds)


async def _until(condition: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def _until_state(world: Sending, condition: Any, seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition((await world.bus.api(f"STREAM.INFO.{QUEUE}"))["state"]):
            await asyncio.sleep(0.02)
