"""Other people's ideas of SES: ministack, whose mail arrives somewhere, and moto."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import SecretStr

from libs.common.relay.port import IdentityRefused
from libs.common.relay.ses.relay import SesRelay, open_ses_relay
from tests.integration.relay.ses_common import BOB, CAROL, DAVE, DOMAIN, letter, outcomes, settings, submission
from tests.support import emulators
from tests.support.emulators import Emulator
from tests.support.relay import ScriptedRelay

TOPIC = "arn:aws:sns:us-east-1:123456789012:temps"


@pytest.fixture(autouse=True)
def there() -> None:
    reason = emulators.missing()
    if reason is not None and (os.environ.get("CI") or os.environ.get("TEMPS_REQUIRE_ALL")):
        pytest.fail(reason)
    if reason is not None:
        pytest.skip(reason)


def relay_at(emulator: Emulator) -> SesRelay:
    keys: dict[str, Any] = {"access_key_id": "test", "secret_access_key": SecretStr("test"), "region": "us-east-1"}
    return open_ses_relay(replace(settings(emulator.url), **keys))


@pytest.fixture
async def ministack() -> AsyncIterator[tuple[SesRelay, ScriptedRelay]]:
    emulator = await asyncio.to_thread(emulators.ministack)
    await asyncio.to_thread(emulator.empty)
    relay = relay_at(emulator)
    async with ScriptedRelay(port=emulator.inbox) as inbox:
        yield relay, inbox
    await relay.close()


@pytest.fixture
async def moto() -> AsyncIterator[SesRelay]:
    emulator = await asyncio.to_thread(emulators.moto)
    await asyncio.to_thread(emulator.empty)
    relay = relay_at(emulator)
    yield relay
    await relay.close()


async def test_ministack_delivers_to_those_in_the_destination(ministack: tuple[SesRelay, ScriptedRelay]) -> None:
    relay, inbox = ministack
    await relay.create_identity(DOMAIN)
    result = await relay.send(submission(BOB, DAVE, letter=letter(to=(BOB,), cc=(CAROL,), bcc=(DAVE,))))
    assert outcomes(result) == {BOB: "accepted", DAVE: "accepted"}
    assert result.provider_message_id
    await inbox.received(1)
    assert sorted(inbox.messages[0].recipients) == [BOB, DAVE]
    assert DAVE.encode() not in inbox.messages[0].raw


async def test_ministack_refuses_a_sender_it_does_not_know(ministack: tuple[SesRelay, ScriptedRelay]) -> None:
    relay, inbox = ministack
    result = await relay.send(submission(BOB))
    assert outcomes(result) == {BOB: "failed"}
    assert "not verified" in result.recipients[0].text
    assert inbox.messages == []


async def test_ministack_gives_three_dkim_tokens_and_refuses_the_mail_from(
    ministack: tuple[SesRelay, ScriptedRelay],
) -> None:
    relay, _ = ministack
    identity = await relay.create_identity(DOMAIN)
    assert identity.status == "verified"  # it looks at nothing
    assert [record.record_type for record in identity.records] == ["TXT", "MX", "CNAME", "CNAME", "CNAME", "TXT"]
    assert [record.status for record in identity.records[:2]] == ["failed", "failed"]
    assert "MAIL FROM" in (identity.error or "")
    assert (await relay.verify_identity(DOMAIN)).records == identity.records
    await relay.delete_identity(DOMAIN)
    with pytest.raises(IdentityRefused):
        await relay.verify_identity(DOMAIN)


async def test_ministack_has_an_account_and_takes_the_route_of_events_twice(
    ministack: tuple[SesRelay, ScriptedRelay],
) -> None:
    relay, _ = ministack
    assert await relay.check_credentials() is None
    await relay.route_events(TOPIC)
    await relay.route_events(f"{TOPIC}-2")


async def test_moto_understands_what_is_asked(moto: SesRelay) -> None:
    await moto.create_identity(DOMAIN)
    result = await moto.send(submission(BOB, DAVE, letter=letter(to=(BOB,), bcc=(DAVE,))))
    assert outcomes(result) == {BOB: "accepted", DAVE: "accepted"}
    assert result.provider_message_id


async def test_moto_rejects_a_sender_it_does_not_know(moto: SesRelay) -> None:
    result = await moto.send(submission(BOB))
    assert outcomes(result) == {BOB: "failed"}
    assert result.recipients[0].text.startswith("MessageRejected")


async def test_moto_takes_identities_up_and_gives_them_back(moto: SesRelay) -> None:
    await moto.create_identity(DOMAIN)
    await moto.create_identity(DOMAIN)
    await moto.delete_identity(DOMAIN)
    await moto.delete_identity(DOMAIN)
    with pytest.raises(IdentityRefused):
        await moto.verify_identity(DOMAIN)


async def test_a_server_without_getaccount_is_not_taken_for_ses(moto: SesRelay) -> None:
    trouble = await moto.check_credentials()
    assert trouble is not None
    assert trouble.kind == "configuration"
    assert "<" not in trouble.text
