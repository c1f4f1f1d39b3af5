"""A provider that names one of our own servers is not connected to, and nothing of what that server says is shown."""

from urllib.parse import urlsplit

import pytest

from tests.support.sending import Sending


@pytest.mark.parametrize("what", ["nats", "monitor"])
async def test_mail_for_a_relay_at_our_own_servers_waits(
    world: Sending, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    port = urlsplit(world.url if what == "nats" else world.monitor_url or "").port
    assert port is not None
    await world.provider(1, port)
    await world.start_worker()
    accepted = await world.send()
    facts = await world.until(accepted.email_id, lambda found: "deferred" in found)
    (recipient,) = next(fact for fact in facts if fact.name == "email.deferred").data["recipients"]
    assert recipient["text"] == f"127.0.0.1:{port} cannot be connected to", recipient
    assert "our own servers" in caplog.text
