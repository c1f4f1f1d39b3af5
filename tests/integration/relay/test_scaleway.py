"""Scaleway, sending: what goes out, and what every answer of the API and of what stands before it means."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from libs.common.mime import Mailbox
from libs.common.relay.port import Letter, SendResult, Submission
from libs.common.relay.scaleway import ScalewayRelay, open_scaleway_relay
from tests.integration.relay.kinds import SENDER, SENDER_DOMAIN
from tests.integration.relay.kinds_scaleway import HASTY, settings
from tests.support import aio
from tests.support import scaleway_shapes as shapes
from tests.support.scaleway import ScalewayServer, refused, text
from tests.support.scaleway_shapes import Act

BOB, CAROL, DAVE, ERIN = "bob@b.example", "carol@c.example", "dave@d.example", "erin@e.example"
MESSAGE = b"Subject: not what Scaleway is sent\r\n\r\n\r\n"
LETTER = Letter(
    sender=Mailbox(SENDER, "The Shop"),
    to=(Mailbox(BOB, "Bob"),),
    cc=(Mailbox(CAROL),),
    bcc=(Mailbox(DAVE),),
    subject="Your order is on its way",
    text="It left our house today.",
    html="<p>It left our house today.</p>",
    email_id="0192f0a0-0000-7000-8000-000000000001",
)


def submission(*recipients: str, **changes: Any) -> Submission:
    letter = replace(LETTER, **changes)
    return Submission(SENDER, recipients or (BOB,), MESSAGE, "<1@shop.example>", letter=letter)


@asynccontextmanager
async def scaleway(*acts: Act, **changes: Any) -> AsyncIterator[tuple[ScalewayServer, ScalewayRelay]]:
    """The API with one domain that may send, playing `acts` on the first requests to send, and a relay of ours."""
    async with asyncio.timeout(20), ScalewayServer() as api:
        api.project.checked(SENDER_DOMAIN)
        api.script["POST /emails"] = acts
        relay = open_scaleway_relay(settings(api, **changes))
        try:
            yield api, relay
        finally:
            await relay.close()


async def answered_by(act: Act, *recipients: str, **changes: Any) -> SendResult:
    """What became of one message that the API answered so."""
    async with scaleway(act, **changes) as (api, relay):
        result = await relay.send(submission(*recipients))
        assert len(api.requests) == 1
    return result


def outcomes(result: SendResult) -> list[tuple[str, str]]:
    return [(reply.address, reply.outcome) for reply in result.recipients]


# -------------------------------------------------------------------------------------------------- what is sent


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


# -------------------------------------------------------------------------------------------- trouble and refusals

TROUBLES = {
    "unknown key": (refused(shapes.denied()), "configuration"),
    "malformed key": (refused(shapes.denied("invalid_argument")), "configuration"),
    "expired key": (refused(shapes.denied("expired")), "configuration"),
    "no permission": (refused(shapes.forbidden()), "configuration"),
    "403 without a type": (text(403, "Forbidden"), "configuration"),
    "unpaid": (text(402, "Payment Required"), "configuration"),
    "no such region": (text(404, "404 page not found"), "configuration"),
    "no such project": (refused(shapes.not_found("project", "p")), "configuration"),
    "malformed project": (refused(shapes.invalid(("project_id", "format", "not a UUID"))), "configuration"),
    "quota": (refused(shapes.over_quota()), "quota"),
    "429 in html": (text(429, "<html><body>Too Many Requests</body></html>", "text/html"), "throttled"),
    "429 in json": (refused((429, {"type": "too_many_requests", "message": "slow down"})), "throttled"),
    "429 that lies": (Act(429, b"<html>", "application/json"), "throttled"),
    "request timed out": (text(408, "Request Timeout"), "connection"),
    "500": (text(500, "Internal Server Error"), "connection"),
    "500 in json": (refused((500, {"type": "internal", "message": "internal error"})), "connection"),
    "503": (text(503, "upstream connect error"), "connection"),
    "redirect": (Act(302, b"", headers={"Location": "http://127.0.0.1:1/"}), "connection"),
}


@pytest.mark.parametrize(("act", "kind"), TROUBLES.values(), ids=TROUBLES)
async def test_what_speaks_of_the_provider_is_trouble(act: Act, kind: str) -> None:
    result = await answered_by(act, BOB, CAROL)
    assert result.trouble is not None
    assert result.trouble.kind == kind
    assert str(act.status) in result.trouble.text
    assert "<" not in result.trouble.text


REFUSALS = {
    "spam": refused(shapes.invalid(("html", "constraint", "looks like spam"))),
    "bad sender": refused(shapes.invalid(("from", "format", 'Invalid email from address: "shop"'))),
    "domain not checked": refused(shapes.precondition('domain "shop.example" is not checked in this project')),
    "no such domain": refused(shapes.not_found("domain", "d")),
    "expired": refused((410, {"type": "resource_expired", "message": "expired", "resource": "domain"})),
    "too large": text(413, "Request Entity Too Large"),
    "400 without a type": text(400, "Bad Request"),
    "422": refused((422, {"message": "no"})),
}


@pytest.mark.parametrize("act", REFUSALS.values(), ids=REFUSALS)
async def test_what_speaks_of_the_message_fails_it_for_everybody(act: Act) -> None:
    result = await answered_by(act, BOB, CAROL)
    assert outcomes(result) == [(BOB, "failed"), (CAROL, "failed")]
    assert str(act.status) in result.recipients[0].text


async def test_a_refusal_is_passed_on_in_its_own_words() -> None:
    people = tuple(f"p{number}@b.example" for number in range(11))
    async with scaleway() as (api, relay):
        api.project.domains.clear()
        unchecked = await relay.send(submission())
        short = await relay.send(submission(subject="Hi"))
        large = await relay.send(submission(text="x" * 2_000_000))
        many = await relay.send(submission(*people, to=tuple(map(Mailbox, people)), cc=(), bcc=()))
    assert large.recipients[0].text == "413 Request Entity Too Large"
    assert {outcome for _, outcome in (*outcomes(large), *outcomes(many))} == {"failed"}
    assert "rcpt constraint The number of recipients must be at most 10" in many.recipients[0].text
    assert 'domain "shop.example" is not checked in this project' in unchecked.recipients[0].text
    assert "subject constraint The subject must have at least 10 characters" in short.recipients[0].text


@pytest.mark.parametrize(
    "act",
    [refused(shapes.transient("domain", "d", "pending")), refused(shapes.locked("domain", "d")), text(409, "Conflict")],
    ids=["transient state", "locked", "409 without a type"],
)
async def test_a_domain_that_is_being_worked_on_delays_the_mail(act: Act) -> None:
    result = await answered_by(act, BOB, CAROL)
    assert outcomes(result) == [(BOB, "deferred"), (CAROL, "deferred")]


async def test_a_type_counts_for_more_than_its_status() -> None:
    _, body = shapes.over_quota()
    result = await answered_by(refused((429, body)))
    assert result.trouble is not None
    assert result.trouble.kind == "quota"


# ------------------------------------------------------------------------------------------------- one bad recipient


def bad_recipient(*addresses: str, argument: str = "rcpt") -> Act:
    details = [(argument, "format", f'Invalid email recipient address: "{address}"') for address in addresses]
    return refused(shapes.invalid(*details))


@pytest.mark.parametrize("argument", ["rcpt", "to", "cc[0].email", "bcc.1"])
async def test_a_bad_recipient_fails_alone_and_the_others_go_without_it(argument: str) -> None:
    async with scaleway(bad_recipient(CAROL, argument=argument)) as (api, relay):
        first = await relay.send(submission(BOB, CAROL, DAVE))
        assert outcomes(first) == [(BOB, "deferred"), (CAROL, "failed"), (DAVE, "deferred")]
        assert api.project.letters == []
        left = [reply.address for reply in first.recipients if reply.outcome == "deferred"]
        assert outcomes(await relay.send(submission(*left))) == [(BOB, "accepted"), (DAVE, "accepted")]
        assert [email["mail_rcpt"] for email in api.project.emails.values()] == [BOB, DAVE]


async def test_several_bad_recipients_fail_at_once() -> None:
    result = await answered_by(bad_recipient(CAROL, BOB), BOB, CAROL, DAVE)
    assert outcomes(result) == [(BOB, "failed"), (CAROL, "failed"), (DAVE, "deferred")]


async def test_a_recipient_is_not_taken_for_one_whose_address_ends_alike() -> None:
    letter = {"to": (Mailbox(BOB), Mailbox(f"jim-{BOB}"))}
    async with scaleway(bad_recipient(f"jim-{BOB}")) as (_, relay):
        result = await relay.send(submission(BOB, f"jim-{BOB}", **letter))
    assert outcomes(result) == [(BOB, "deferred"), (f"jim-{BOB}", "failed")]


@pytest.mark.parametrize(
    "act",
    [
        bad_recipient("somebody-else@b.example"),
        refused(shapes.invalid(("rcpt", "constraint", "too many"))),
        refused(
            shapes.invalid(
                ("rcpt", "format", f'Invalid email recipient address: "{BOB}"'), ("subject", "constraint", "too short")
            )
        ),
    ],
    ids=["none of ours", "nobody", "the subject too"],
)
async def test_when_nobody_can_be_left_out_the_message_fails_for_everybody(act: Act) -> None:
    result = await answered_by(act, BOB, CAROL)
    assert outcomes(result) == [(BOB, "failed"), (CAROL, "failed")]


# --------------------------------------------------------------------------------------------------- odd and no answers


def taken(*emails: dict[str, Any] | None) -> Act:
    return Act(200, json.dumps({"emails": list(emails)}).encode())


def email(address: str, **changes: Any) -> dict[str, Any]:
    body = {"project_id": "p", "from": {"email": SENDER}, "subject": "s"}
    return {**shapes.new_email(body, "to", address, str(uuid4()), "sending"), **changes}


UNKNOWN = {
    "broken off": Act(then="close", carry_out=True),
    "cut in half": Act(200, b'{"emails": [{"id": "x"}]}', then="cut", carry_out=True),
    "a byte now and then": Act(200, b" " * 10_000, then="trickle", carry_out=True),
    "silence": Act(then="hang", carry_out=True),
    "no json": Act(200, b"{", carry_out=True),
    "html": text(200, "<html>OK</html>", "text/html"),
    "json that says it is html": text(200, '{"emails": [{"id": "7", "mail_rcpt": "bob@b.example"}]}', "text/html"),
    "a list": Act(200, b"[]"),
    "no emails": Act(200, b"{}"),
    "null": Act(200, b'{"emails": null}'),
    "an empty list": taken(),
    "no objects": taken(None),
    "2 MB": Act(200, b'{"emails": [{"id": "7", "mail_rcpt": "bob@b.example"}], "more": "%b"}' % (b"x" * (2 << 20))),
    "bad gateway": text(502, "Bad Gateway"),
    "gateway time-out": text(504, "<html>Gateway Time-out</html>", "text/html"),
}


@pytest.mark.parametrize("act", UNKNOWN.values(), ids=UNKNOWN)
async def test_when_nobody_can_say_whether_it_was_taken_it_is_unknown(act: Act) -> None:
    result = await answered_by(act, read_timeout=HASTY)
    assert (result.unknown_stage, result.recipients, result.trouble) == ("final_dot", (), None)
    assert result.detail


NO_HTTP = {
    "not http": b"220 smtp.example ESMTP\r\n",
    "a status that is none": b"HTTP/1.1 \x1b[31mabc OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
    "nothing": b"",
}


@pytest.mark.parametrize("octets", NO_HTTP.values(), ids=NO_HTTP)
async def test_an_answer_that_is_no_http_is_unknown_and_its_connection_goes(octets: bytes) -> None:
    gone = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}")
        writer.write(octets)
        if not octets:
            writer.write_eof()
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()
        gone.set()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, scaleway(api_url=url) as (_, relay):
        result = await relay.send(submission())
        assert result.unknown_stage
        assert (result.detail or "").isprintable()
        assert len(result.detail or "") < 600
        await gone.wait()


def test_it_runs_on_the_services_loop_and_leaves_no_task_behind() -> None:
    async def run() -> None:
        async with scaleway(Act(usual=True), Act(then="hang")) as (api, relay):
            assert outcomes(await relay.send(submission())) == [(BOB, "accepted")]
            sending = asyncio.create_task(relay.send(submission()))
            await api.came("POST /emails", 2)
            sending.cancel()
            await asyncio.wait({sending})
            while api.connections:
                await asyncio.sleep(0.005)

    aio.run(run(), loop="uvloop")


async def test_what_was_taken_in_silence_was_sent_once() -> None:
    async with scaleway(Act(then="close", carry_out=True)) as (api, relay):
        assert (await relay.send(submission())).unknown_stage
        assert len(api.project.letters) == 1
        assert len(api.requests) == 1


async def test_a_kept_connection_that_died_unnoticed_sends_nothing_twice() -> None:
    async with scaleway(Act(usual=True), Act(then="close", carry_out=True)) as (api, relay):
        await relay.send(submission())
        assert (await relay.send(submission())).unknown_stage
        assert len(api.project.letters) == 2


async def test_an_answer_byte_by_byte_is_one_if_it_comes_in_time() -> None:
    result = await answered_by(Act(200, b'{"emails": [{"id": "7", "mail_rcpt": "bob@b.example"}]}', then="trickle"))
    assert outcomes(result) == [(BOB, "accepted")]


async def test_a_copy_that_failed_at_once_fails_that_recipient_alone() -> None:
    failed = email(CAROL, status="failed", status_details="blocklisted", flags=["blocklisted", "hard_bounce"])
    result = await answered_by(taken(email(BOB), failed), BOB, CAROL)
    assert outcomes(result) == [(BOB, "accepted"), (CAROL, "failed")]
    assert result.recipients[1].text == "failed: blocklisted: blocklisted: hard_bounce"
    assert result.recipients[1].provider_message_id is None
    assert result.provider_message_id == result.recipients[0].provider_message_id


async def test_a_recipient_without_a_receipt_is_tried_again() -> None:
    result = await answered_by(taken(email(BOB)), BOB, CAROL)
    assert outcomes(result) == [(BOB, "accepted"), (CAROL, "deferred")]


async def test_addresses_come_back_in_another_case_or_order() -> None:
    first, second, third = email(DAVE.upper()), email("Carol@elsewhere.example"), email(BOB)
    result = await answered_by(taken(first, second, third), BOB, CAROL, DAVE)
    ids = {reply.address: reply.provider_message_id for reply in result.recipients}
    assert ids == {BOB: third["id"], CAROL: second["id"], DAVE: first["id"]}


async def test_old_and_missing_members_are_made_do_with() -> None:
    old = {"id": "old", "rcpt_to": BOB}
    result = await answered_by(taken(old), BOB)
    assert outcomes(result) == [(BOB, "accepted")]
    assert result.provider_message_id == "old"
    bare = await answered_by(taken({"mail_rcpt": BOB, "flags": None, "id": None, "status": 7}), BOB)
    assert outcomes(bare) == [(BOB, "accepted")]
    assert bare.provider_message_id is None


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
