"""The whole sender against a real Postfix: accepted, relayed, found at the other end, and in the log."""

import asyncio
from collections.abc import Iterator
from typing import Literal

import pytest

from libs.common.facts.provider import SmtpEndpoint
from tests.support.postfix import USER, Postfix, postfix, require_postfix
from tests.support.relay import ScriptedRelay
from tests.support.sending import Sending, names


@pytest.fixture(scope="module")
def server() -> Iterator[Postfix]:
    require_postfix()
    with postfix() as running:
        yield running


async def provided(world: Sending, server: Postfix, *, listener: str = "submission", password: str = "") -> None:
    """Provider 1 is this Postfix. On loopback its certificate is taken as it is."""
    encryption: Literal["tls", "starttls"] = "tls" if listener == "submissions" else "starttls"
    endpoint = SmtpEndpoint(
        host="127.0.0.1", port=server.ports[listener], encryption=encryption, accept_invalid_certs=False
    )
    await world.secret(1, "v1", USER, password or server.password)
    await world.provider(1, server.ports[listener], smtp=endpoint, credential_version="v1")


@pytest.mark.parametrize("listener", ["submission", "submissions"])
async def test_an_accepted_email_goes_through_postfix_and_its_fact_says_sent(
    world: Sending, server: Postfix, listener: str
) -> None:
    async with ScriptedRelay(port=server.next_hop) as sink:
        await provided(world, server, listener=listener)
        await world.start_worker()
        accepted = await world.send(
            to=["ada@example.com", "nobody@example.com"], subject="Grüße", html="<p>Hello, Ada</p>"
        )
        facts = await world.until_last(accepted.email_id, "sent")
        assert names(facts) == ["accepted", "sent"]
        sent = facts[-1].data
        assert [(each["address"], each["outcome"], each["smtp_code"]) for each in sent["recipients"]] == [
            ("ada@example.com", "accepted", 250),
            ("nobody@example.com", "bounced", 550),
        ]
        assert (sent["attempt"], sent["next_at"]) == (1, None)
        async with asyncio.timeout(20):
            await sink.received(1)
        (message,) = sink.messages
        assert (message.mail_from, message.recipients) == ("hello@p1.example", ("ada@example.com",))
        text = message.raw.decode()
        assert "with ESMTPSA" in text
        assert f"Message-ID: {sent['provider_message_id']}" in text
        await world.drained()


async def test_credentials_that_postfix_refuses_stop_the_provider(world: Sending, server: Postfix) -> None:
    async with ScriptedRelay(port=server.next_hop) as sink:
        await provided(world, server, password="guessed")
        running = await world.start_worker()
        accepted = await world.send()
        facts = await world.until(accepted.email_id, lambda found: "deferred" in found)
        assert facts[-1].data["reason"] == "configuration"
        assert facts[-1].data["recipients"][0]["smtp_code"] == 535
        async with asyncio.timeout(10):
            while running.worker.providers.living[1].stopped is None:
                await asyncio.sleep(0.02)
        assert sink.messages == []
