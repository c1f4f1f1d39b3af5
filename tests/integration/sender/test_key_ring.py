"""The worker's key ring: a key that is not there yet delays mail, another installation's ring ends the start."""

import asyncio
import os
from collections.abc import Callable

import orjson
import pytest

from libs.common.jetstream.append import publish_durably
from libs.common.jetstream.streams import secret_subject
from libs.common.vault.keyring import KeyRing, SecretsError, write_key_ring
from tests.support.relay import ScriptedRelay
from tests.support.sending import Sending

LOGIN = ("user", "right")


async def _store(world: Sending, ring: KeyRing, provider_id: int, version: str) -> None:
    plain = orjson.dumps({"username": LOGIN[0], "password": LOGIN[1]})
    sealed = ring.encrypt(plain, bound_to=f"provider/{provider_id}")
    await publish_durably(
        world.bus, secret_subject("provider", provider_id, version), sealed, msg_id=os.urandom(8).hex()
    )


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.02)


async def test_mail_under_a_key_that_has_not_arrived_waits_and_goes_when_it_has(world: Sending) -> None:
    both = KeyRing("k2", {**world.ring.keys, "k2": os.urandom(32)})
    async with ScriptedRelay(login=LOGIN) as relay:
        await _store(world, both, 1, "v1")
        worker = await world.start_worker()
        await world.provider(1, relay.port, credential_version="v1")
        accepted = await world.send()
        facts = await world.until(accepted.email_id, lambda found: "deferred" in found)
        assert facts[1].data["reason"] == "connection"
        assert "credentials cannot be read yet" in facts[1].data["recipients"][0]["text"]
        write_key_ring(world.directory / "keyring", both)
        await world.until_last(accepted.email_id, "sent")
        assert worker.worker.providers.living[1].stopped is None
        assert relay.messages[0].session.login == ("PLAIN", *LOGIN)


async def test_a_worker_starts_without_the_key_and_waits_for_it(world: Sending) -> None:
    both = KeyRing("k2", {**world.ring.keys, "k2": os.urandom(32)})
    async with ScriptedRelay(login=LOGIN) as relay:
        await _store(world, both, 1, "v1")
        await world.provider(1, relay.port, credential_version="v1")
        worker = await world.start_worker()
        write_key_ring(world.directory / "keyring", both)
        accepted = await world.send()
        await world.until_last(accepted.email_id, "sent")
        assert worker.worker.providers.living[1].stopped is None


async def test_another_installations_ring_ends_the_start_and_stops_no_provider(
    world: Sending, caplog: pytest.LogCaptureFixture
) -> None:
    for number in (1, 2):
        await _store(world, KeyRing("k1", {"k1": os.urandom(32)}), number, "v1")
        await world.provider(number, 25, credential_version="v1")
    with pytest.raises(ExceptionGroup) as ended:
        await world.start_worker()
    assert ended.value.subgroup(SecretsError) is not None
    assert "TEMPS_KEYRING_FILE" in caplog.text
    assert "provider 1" in caplog.text
    facts = [message async for message in world.bus.direct_batch("MAIL_EVENTS", "mail.provider.*")]
    assert len(facts) == 2, "created, and nothing since"


async def test_one_damaged_secret_is_its_providers_trouble_alone(world: Sending) -> None:
    async with ScriptedRelay(login=LOGIN) as relay:
        await _store(world, world.ring, 1, "v1")
        await _store(world, KeyRing("k1", {"k1": os.urandom(32)}), 2, "v1")
        for number in (1, 2):
            await world.provider(number, relay.port, credential_version="v1")
        worker = await world.start_worker()
        good, bad = await world.send(1), await world.send(2)
        await world.until_last(good.email_id, "sent")
        facts = await world.until(bad.email_id, lambda found: "deferred" in found)
        assert facts[1].data["reason"] == "configuration"
        await _until(lambda: worker.worker.providers.living[2].stopped is not None)
        assert worker.worker.providers.living[1].stopped is None


async def test_a_lost_secret_does_not_end_the_start(world: Sending) -> None:
    await world.provider(1, 25, credential_version="gone")
    await world.start_worker()
