"""Scaleway, sending: what goes out, on which connections, and what is never shown."""

import asyncio
import logging
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from libs.common.facts.provider import ProviderState
from libs.common.mime import Mailbox
from libs.common.relay.opening import Surroundings, open_relay
from libs.common.relay.port import Submission
from libs.common.relay.scaleway.relay import ScalewayRelay
from tests.integration.relay.kinds import SENDER
from tests.integration.relay.scaleway_common import (
    BOB,
    CAROL,
    DAVE,
    LETTER,
    MESSAGE,
    outcomes,
    scaleway,
    submission,
)
from tests.support import scaleway_shapes as shapes
from tests.support.scaleway import refused, text
from tests.support.scaleway_shapes import Act


async def test_the_request_says_what_the_letter_says() -> None:
    letter: dict[str, Any] = {
        "reply_to": (Mailbox("help@shop.example", "Bücher & Co"),),
        "headers": (("List-Id", "orders"), ("Reply-To", "old@shop.example"), ("X-Note", "grüße")),
    }
    async with scaleway() as (api, relay):
        result = await relay.send(submission(BOB, CAROL, DAVE, **letter))
    (request,) = api.requests
    assert outcomes(result) == [(BOB, "accepted"), (CAROL, "accepted"), (DAVE, "accepted")]
    assert request.headers["X-Auth-Token"] == api.project.secret_key
    assert request.headers["Content-Type"] == "application/json"
    assert not {"Cookie", "Transfer-Encoding"} & set(request.headers)
    headers = request.body["additional_headers"]
    assert dict(request.body) == {
        "from": {"email": SENDER, "name": "The Shop"},
        "to": [{"email": BOB, "name": "Bob"}],
        "cc": [{"email": CAROL}],
        "bcc": [{"email": DAVE}],
        "subject": LETTER.subject,
        "text": LETTER.text,
        "html": LETTER.html,
        "project_id": api.project.project_id,
        "additional_headers": headers,
    }
    assert {each["key"]: each["value"] for each in headers} == {
        "Reply-To": "=?utf-8?b?QsO8Y2hlciAmIENv?= <help@shop.example>",
        "Auto-Submitted": "auto-generated",
        "X-Temps-Email-Id": LETTER.email_id,
        "List-Id": "orders",
        "X-Note": "=?utf-8?b?Z3LDvMOfZQ==?=",
    }
    assert len(headers) == 5


async def test_every_recipient_has_the_id_of_its_own_copy() -> None:
    async with scaleway() as (api, relay):
        result = await relay.send(submission(DAVE, BOB))
    ids = {email["mail_rcpt"]: identifier for identifier, email in api.project.emails.items()}
    assert {reply.address: reply.provider_message_id for reply in result.recipients} == ids
    assert result.provider_message_id == ids[DAVE]
    assert {reply.text for reply in result.recipients} == {"new: not yet processed"}


async def test_a_stored_provider_is_opened_at_the_url_that_the_operator_set() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    provider = ProviderState(
        id=1, name="n", provider_type="scaleway", region="fr-par", is_active=True, is_default=False,
        is_local_inbox=False, max_connections=10, rate_limit_per_second=None, fallback_provider_ids=[], smtp=None,
        credentials={}, credential_version="v", last_test=None, stopped=None, created_at=at, updated_at=at,
    )  # fmt: skip
    async with scaleway() as (api, _):
        secret = {"api_key": api.project.secret_key, "project_id": api.project.project_id}
        relay = open_relay(provider, secret, Surroundings(scaleway_api_url=api.url), connections=1, patience="hurried")
        assert isinstance(relay, ScalewayRelay)
        assert await relay.check_credentials() is None
        assert outcomes(await relay.send(submission())) == [(BOB, "accepted")]
        await relay.close()


async def test_one_connection_serves_many_messages() -> None:
    async with scaleway() as (api, relay):
        for _ in range(5):
            assert outcomes(await relay.send(submission())) == [(BOB, "accepted")]
            assert api.connections == 1


async def test_a_relay_serves_on_after_it_was_closed_and_keeps_nothing_open() -> None:
    async with scaleway(Act(usual=True, delay=0.1)) as (api, relay):
        sending = asyncio.create_task(relay.send(submission()))
        await api.came("POST /emails")
        await relay.close()
        assert outcomes(await sending) == [(BOB, "accepted")]
        assert outcomes(await relay.send(submission())) == [(BOB, "accepted")]
        while api.connections:
            await asyncio.sleep(0.005)


async def test_the_time_before_the_dot_is_not_the_answers() -> None:
    async def slow_yes() -> bool:
        await asyncio.sleep(1.2)  # longer than the answer may take
        return True

    async with scaleway(read_timeout=1.0) as (_, relay):
        assert outcomes(await relay.send(submission(), before_dot=slow_yes)) == [(BOB, "accepted")]


async def test_a_time_out_of_the_questions_own_comes_out_as_itself() -> None:
    async def lease_timed_out() -> bool:
        raise TimeoutError("the lease")

    async with scaleway() as (api, relay):
        with pytest.raises(TimeoutError, match="the lease"):
            await relay.send(submission(), before_dot=lease_timed_out)
        assert api.requests == []


@pytest.mark.parametrize("recipients", [(BOB, "stranger@b.example"), ("stranger@b.example",)])
async def test_a_recipient_that_the_letter_does_not_name_is_an_error_of_ours(recipients: tuple[str, ...]) -> None:
    async with scaleway() as (api, relay):
        with pytest.raises(ValueError, match="not named in the letter"):
            await relay.send(submission(*recipients))
        with pytest.raises(ValueError, match="needs its letter"):
            await relay.send(Submission(SENDER, (BOB,), MESSAGE, "<1@shop.example>"))
        assert api.requests == []


async def test_mail_that_scaleway_would_lose_fails_and_the_others_get_theirs() -> None:
    strange = "jürgen@b.example"
    letter: dict[str, Any] = {"to": (Mailbox(strange), Mailbox(BOB))}
    async with scaleway() as (api, relay):
        result = await relay.send(submission(strange, BOB, **letter))
        assert outcomes(result) == [(strange, "failed"), (BOB, "accepted")]
        assert result.provider_message_id == result.recipients[1].provider_message_id
        assert [email["mail_rcpt"] for email in api.project.emails.values()] == [BOB]
        assert outcomes(await relay.send(submission(strange, **letter))) == [(strange, "failed")]
        from_strange = submission(BOB, sender=Mailbox("grüße@shop.example"))
        assert outcomes(await relay.send(from_strange)) == [(BOB, "failed")]
        assert len(api.requests) == 1
        api.script["POST /emails"] = text(429, "<html>", "text/html")
        assert (await relay.send(submission(strange, BOB, **letter))).trouble is not None


# ------------------------------------------------------------------------------------------------------- secrecy


async def test_neither_key_nor_bodies_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with scaleway() as (api, relay):
        await relay.send(submission())
        key, api.project.secret_key = api.project.secret_key, str(uuid4())
        await relay.send(submission())
        await relay.check_credentials()
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("libs."))
    assert "scaleway answered 401 denied_authentication, request " in ours
    everything = "\n".join(record.getMessage() for record in caplog.records)
    for secret in (key, BOB, "left our house", "on its way"):
        assert secret not in everything


async def test_what_an_error_repeats_is_cleaned_and_cut() -> None:
    async with scaleway() as (api, relay):
        key = api.project.secret_key
        nasty = f"bad key {key}\r\n\x1b[31mred\u202e " + "x" * 5_000
        api.script["POST /emails"] = refused(shapes.invalid(("html", "constraint", nasty)))
        (reply,) = (await relay.send(submission())).recipients
    assert key not in reply.text
    assert "***" in reply.text
    assert reply.text.isprintable()
    assert len(reply.text) <= 512
