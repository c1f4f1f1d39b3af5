"""Words that a newer version wrote, amid an upgrade: their mail waits for that version, and nothing is lost."""

from libs.common.facts.provider import ProviderState, ProviderUpdated
from tests.support.relay import ScriptedRelay, lose
from tests.support.sending import Sending, names

PIGEON = {"provider_type": "pigeon", "smtp": None, "region": "north"}


async def test_mail_of_a_kind_that_is_not_known_waits(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        pigeon = await world.provider(1, relay.port, **PIGEON)
        await world.provider(2, relay.port)
        waiting = await world.send(1)
        worker = await world.start_worker()
        other = await world.send(2)
        await world.until_last(other.email_id, "sent")
        assert names(await world.facts(waiting.email_id)) == ["accepted"]
        closed = worker.worker.channels[1].closed()
        assert closed is not None
        assert (closed.kind, closed.text) == ("unsupported", "of type pigeon, which this version does not know")
        # The newer version finds it where it waits; its part is played by a change that makes the kind a known one.
        known = ProviderState.model_validate(
            {**pigeon.model_dump(), "provider_type": "smtp", "smtp": (await world.provider(3, relay.port)).smtp}
        )
        await world.fact(ProviderUpdated(provider=known, changed_fields=["provider_type"]))
        await world.until_last(waiting.email_id, "sent")
        assert len(relay.messages) == 2


async def test_a_fallback_sends_for_a_kind_that_is_not_known(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        await world.provider(2, relay.port)
        await world.provider(1, relay.port, fallback_provider_ids=[2], **PIGEON)
        await world.start_worker()
        sent = await world.send(1)
        facts = await world.until_last(sent.email_id, "sent")
        assert facts[0].data["route"]["reason"] == "fallback"


async def test_an_encryption_that_is_not_known_is_no_reason_to_send_in_clear(world: Sending) -> None:
    async with ScriptedRelay() as relay:
        state = await world.provider(1, relay.port)
        assert state.smtp is not None
        quantum = state.smtp.model_copy(update={"encryption": "quantum"})
        await world.update(state, smtp=quantum)
        await world.start_worker()
        sent = await world.send(1)
        facts = await world.until_last(sent.email_id, "deferred")
        assert facts[-1].data["reason"] == "connection"
        assert relay.messages == []
        await world.update(state)
        await world.until_last(sent.email_id, "sent")


async def test_a_policy_that_is_not_known_holds_what_is_unknown(world: Sending) -> None:
    async with ScriptedRelay({"dot": [lose()]}) as relay:
        await world.provider(1, relay.port, unknown_policy="ask-the-oracle")
        await world.start_worker()
        sent = await world.send(1)
        facts = await world.until_last(sent.email_id, "unknown")
        assert (facts[-1].data["policy"], facts[-1].data["next_at"]) == ("ask-the-oracle", None)
