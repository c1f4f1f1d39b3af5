"""Scaleway saying nothing, nonsense or half: what may have been taken is unknown, what has a receipt is sent."""

import asyncio
import contextlib
import json
from typing import Any
from uuid import uuid4

import pytest

from tests.integration.relay.kinds import SENDER
from tests.integration.relay.kinds_scaleway import HASTY
from tests.integration.relay.scaleway_common import (
    BOB,
    CAROL,
    DAVE,
    answered_by,
    outcomes,
    scaleway,
    submission,
)
from tests.support import aio
from tests.support import scaleway_shapes as shapes
from tests.support.scaleway import text
from tests.support.scaleway_shapes import Act


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


async def test_a_kept_connection_that_was_closed_is_no_fault_of_the_message() -> None:
    async with scaleway() as (api, relay):
        await asyncio.gather(*(relay.send(submission()) for _ in range(3)))
        await api.hang_up()
        assert outcomes(await relay.send(submission())) == [(BOB, "accepted")]
        assert len(api.project.letters) == 4


async def test_a_connection_lost_while_asked_is_replaced_and_nobody_is_asked_twice() -> None:
    asked = 0

    async with scaleway() as (api, relay):
        await relay.send(submission())

        async def before_dot() -> bool:
            nonlocal asked
            asked += 1
            await api.hang_up()
            return True

        assert outcomes(await relay.send(submission(), before_dot=before_dot)) == [(BOB, "accepted")]
        assert (asked, len(api.project.letters)) == (1, 2)


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
