"""Against a real Postfix, which relays what it takes to a scripted relay: what is tested here is theirs, not our idea.

It announces PIPELINING, SIZE, 8BITMIME, SMTPUTF8 and AUTH after STARTTLS; see `tests.support.postfix`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from libs.common.relay.port import Submission, Trouble
from libs.common.relay.smtp.relay import SmtpRelay, open_smtp_relay
from tests.integration.relay.common import at_home, outcomes, settings
from tests.support.postfix import HOST, SIZE_LIMIT, USER, Postfix, postfix, require_postfix
from tests.support.relay import Received, ScriptedRelay

BOB, CAROL = "bob@b.example", "carol@b.example"
# Postfix adds what is missing, so nothing is.
HEADERS = b"From: shop@a.example\r\nDate: Mon, 4 May 2026 10:00:00 +0000\r\nMessage-ID: <1@a.example>\r\n"
MESSAGE = HEADERS + b"Subject: hi\r\n\r\nhello\r\n.leading\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Postfix]:
    require_postfix()
    with postfix() as running:
        yield running


@pytest.fixture
async def sink(server: Postfix) -> AsyncIterator[ScriptedRelay]:
    """Where Postfix relays to; what it was given is all there when a test ends."""
    async with ScriptedRelay(port=server.next_hop) as relay:
        yield relay


@asynccontextmanager
async def ours(server: Postfix, listener: str = "submission", **changes: Any) -> AsyncIterator[SmtpRelay]:
    """A relay of ours for this Postfix, by the name in its certificate, with its authority trusted."""
    wanted = {
        "host": HOST,
        "encryption": "tls" if listener == "submissions" else "starttls",
        "ca_file": server.ca_file,
        "username": USER,
        "password": SecretStr(server.password),
        **changes,
    }
    relay = open_smtp_relay(settings(server.ports[listener], **wanted), resolver=at_home)
    try:
        yield relay
    finally:
        await relay.close()


async def relayed(sink: ScriptedRelay, count: int = 1) -> list[Received]:
    """The messages that came out at the other end."""
    async with asyncio.timeout(20):
        await sink.received(count)
    return sink.messages


async def refused(server: Postfix, listener: str = "submission", **changes: Any) -> Trouble:
    async with ours(server, listener, **changes) as relay:
        checked = await relay.check_credentials()
        trouble = (await relay.send(submission(BOB))).trouble
    assert trouble is not None
    assert checked == trouble
    return trouble


def submission(
    *recipients: str, sender: str = "shop@a.example", message: bytes = MESSAGE, smtputf8: bool = False
) -> Submission:
    return Submission(sender, recipients, message, "<1@a.example>", smtputf8=smtputf8)


def raw(size: int) -> bytes:
    lines = HEADERS + b"Subject: large\r\n\r\n" + (b"x" * 70 + b"\r\n") * ((size - 200) // 72)
    return lines + b"y" * (size - len(lines) - 2) + b"\r\n"


@pytest.mark.parametrize(
    ("listener", "mechanism"),
    [("submission", "PLAIN"), ("login_only", "LOGIN"), ("submissions", "PLAIN"), ("one_by_one", "PLAIN")],
)
async def test_postfix_relays_what_it_is_given(
    server: Postfix, sink: ScriptedRelay, listener: str, mechanism: str
) -> None:
    async with ours(server, listener) as relay:
        assert await relay.check_credentials() is None
        result = await relay.send(submission(BOB, CAROL))
    assert outcomes(result) == {BOB: ("accepted", 250), CAROL: ("accepted", 250)}
    assert "queued as" in result.recipients[0].text
    (message,) = await relayed(sink)
    assert (message.mail_from, message.recipients) == ("shop@a.example", (BOB, CAROL))
    assert message.raw.endswith(MESSAGE)
    received = message.raw.removesuffix(MESSAGE).decode()
    assert "with ESMTPSA" in received
    assert "using TLSv1." in received
    assert f"Authenticated sender: {USER}" in received
    assert f"sasl_method={mechanism}, sasl_username={USER}" in server.log()


@pytest.mark.parametrize("listener", ["submission", "login_only", "submissions"])
async def test_a_wrong_password_at_postfix_is_configuration_trouble(server: Postfix, listener: str) -> None:
    trouble = await refused(server, listener, password=SecretStr("guessed"))
    assert (trouble.kind, trouble.smtp_code, trouble.enhanced_status) == ("configuration", 535, "5.7.8")


async def test_postfix_without_encryption_wants_starttls_first(server: Postfix) -> None:
    async with ours(server, encryption="none", username=None) as relay:
        trouble = (await relay.send(submission(BOB))).trouble
    assert trouble is not None
    assert (trouble.kind, trouble.smtp_code, trouble.enhanced_status) == ("configuration", 530, "5.7.0")


async def test_postfix_offers_no_login_in_clear_text_and_gets_no_password(server: Postfix) -> None:
    trouble = await refused(server, encryption="none")
    assert trouble.kind == "configuration"
    assert trouble.text.startswith("auth_not_offered")


async def test_postfix_refusing_a_stranger_bounces_nobody(server: Postfix) -> None:
    async with ours(server, username=None) as relay:
        assert outcomes(await relay.send(submission(BOB))) == {BOB: ("failed", 554)}


@pytest.mark.parametrize("listener", ["submission", "submissions"])
@pytest.mark.parametrize(
    "changes", [{"ca_file": None}, {"host": "other.test"}], ids=("unknown authority", "another's name")
)
async def test_the_certificate_of_postfix_is_verified(
    server: Postfix, listener: str, changes: dict[str, str | None]
) -> None:
    trouble = await refused(server, listener, **changes)
    assert trouble.kind == "configuration"
    assert "certificate" in trouble.text
    async with ours(server, listener, accept_invalid_certs=True, **changes) as relay:
        assert await relay.check_credentials() is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_postfix_on_this_machine_needs_no_certificate(server: Postfix, host: str) -> None:
    async with ours(server, host=host, ca_file=None) as relay:
        assert await relay.check_credentials() is None


@pytest.mark.parametrize("listener", ["submission", "one_by_one"])
async def test_postfix_answers_for_each_recipient(server: Postfix, sink: ScriptedRelay, listener: str) -> None:
    nobody, busy = "nobody@b.example", "busy@b.example"
    async with ours(server, listener) as relay:
        result = await relay.send(submission(BOB, nobody, busy, CAROL))
        assert outcomes(result) == {
            BOB: ("accepted", 250),
            nobody: ("bounced", 550),
            busy: ("deferred", 450),
            CAROL: ("accepted", 250),
        }
        assert [reply.enhanced_status for reply in result.recipients[1:3]] == ["5.1.1", "4.2.1"]
        (message,) = await relayed(sink)
        assert message.recipients == (BOB, CAROL)


@pytest.mark.parametrize("listener", ["submission", "one_by_one"])
async def test_a_session_with_postfix_goes_on_when_everybody_was_refused(
    server: Postfix, sink: ScriptedRelay, listener: str
) -> None:
    async with ours(server, listener, max_connections=1) as relay:
        assert outcomes(await relay.send(submission("nobody@b.example"))) == {"nobody@b.example": ("bounced", 550)}
        begun = server.log().count("connect from localhost")
        assert outcomes(await relay.send(submission(BOB))) == {BOB: ("accepted", 250)}
        assert (await relayed(sink))[0].recipients == (BOB,)
        assert server.log().count("connect from localhost") == begun


async def test_a_sender_that_postfix_refuses_is_nobodys_bounce(server: Postfix) -> None:
    """Postfix says it to RCPT (smtpd_delay_reject), with a code that is otherwise a mailbox's."""
    async with ours(server) as relay:
        result = await relay.send(submission(BOB, sender="boss@shop.example"))
    assert outcomes(result) == {BOB: ("failed", 553)}
    assert result.recipients[0].enhanced_status == "5.7.1"
    assert "not owned by user" in result.recipients[0].text


async def test_what_is_over_the_size_that_postfix_announces_is_not_begun(server: Postfix) -> None:
    async with ours(server) as relay:
        result = await relay.send(submission(BOB, message=raw(SIZE_LIMIT + 1)))
    assert outcomes(result) == {BOB: ("failed", None)}
    assert result.recipients[0].enhanced_status == "5.3.4"


async def test_what_is_too_large_for_postfix_fails(server: Postfix) -> None:
    async with ours(server, "size_unsaid") as relay:
        result = await relay.send(submission(BOB, message=raw(SIZE_LIMIT + 2_000)))
    assert outcomes(result) == {BOB: ("failed", 552)}
    assert result.recipients[0].enhanced_status == "5.3.4"


async def test_what_is_large_and_not_too_large_passes_postfix_whole(server: Postfix, sink: ScriptedRelay) -> None:
    message = raw(SIZE_LIMIT * 3 // 4)  # it counts its queue file, not our octets
    async with ours(server) as relay:
        assert outcomes(await relay.send(submission(BOB, message=message))) == {BOB: ("accepted", 250)}
    assert (await relayed(sink))[0].raw.endswith(message)


async def test_postfix_takes_addresses_and_headers_outside_ascii(server: Postfix, sink: ScriptedRelay) -> None:
    message = HEADERS.replace(b"shop", "käufer".encode()) + "Subject: grüße\r\n\r\nhello\r\n".encode()
    async with ours(server) as relay:
        result = await relay.send(submission("bärbel@b.example", message=message, smtputf8=True))
    assert outcomes(result) == {"bärbel@b.example": ("accepted", 250)}
    (relayed_on,) = await relayed(sink)
    assert relayed_on.recipients == ("bärbel@b.example",)
    assert "SMTPUTF8" in relayed_on.parameters
    assert relayed_on.raw.endswith(message)


async def test_fifty_messages_share_four_sessions_with_postfix(server: Postfix, sink: ScriptedRelay) -> None:
    before = server.log().count("connect from localhost")
    async with ours(server, max_connections=4) as relay:
        recipients = [f"r{number}@b.example" for number in range(50)]
        results = await asyncio.gather(*(relay.send(submission(address)) for address in recipients))
    assert [outcomes(result) for result in results] == [{address: ("accepted", 250)} for address in recipients]
    messages = await relayed(sink, 50)
    assert sorted(message.recipients for message in messages) == sorted((address,) for address in recipients)
    begun = server.log().count("connect from localhost") - before
    # Both "connect from" and "disconnect from" have these words.
    assert begun <= 2 * 4


async def test_a_session_that_postfix_ended_while_idle_costs_nothing(server: Postfix, sink: ScriptedRelay) -> None:
    async with ours(server, "impatient", max_connections=1) as relay:
        assert outcomes(await relay.send(submission(BOB))) == {BOB: ("accepted", 250)}
        before = server.log().count("timeout after")
        await server.said("timeout after", before + 1)
        assert outcomes(await relay.send(submission(CAROL))) == {CAROL: ("accepted", 250)}
    assert [message.recipients for message in await relayed(sink, 2)] == [(BOB,), (CAROL,)]
