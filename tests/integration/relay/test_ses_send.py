"""What SendEmail is asked: our octets, each recipient in its place, nothing that says who else."""

import base64
from typing import Any

import pytest

from libs.common.relay.port import SendResult, Submission
from tests.integration.relay.ses_common import (
    BOB,
    CAROL,
    DAVE,
    MESSAGE,
    SENDER,
    letter,
    outcomes,
    relay_for,
    submission,
)
from tests.support.ses import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Act, SesServer


async def asked_for(message: Submission) -> tuple[SendResult, dict[str, Any]]:
    """How it ended, and the body of the one request."""
    async with SesServer() as ses, relay_for(ses) as relay:
        result = await relay.send(message)
        assert len(ses.requests) == 1
        return result, dict(ses.requests[0].body)


async def test_ses_gets_our_octets() -> None:
    result, body = await asked_for(submission(BOB))
    assert base64.b64decode(body["Content"]["Raw"]["Data"]) == MESSAGE
    assert "ConfigurationSetName" not in body
    assert outcomes(result) == {BOB: "accepted"}


async def test_a_long_message_arrives_whole() -> None:
    long = MESSAGE + b"x" * 76 * 20_000 + b"\r\n"
    result, body = await asked_for(submission(BOB, message=long))
    assert base64.b64decode(body["Content"]["Raw"]["Data"]) == long
    assert outcomes(result) == {BOB: "accepted"}


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        (f"From: {SENDER}", SENDER),
        (f"From: Shop <{SENDER}>", f"Shop <{SENDER}>"),
        (
            f"from:  =?utf-8?q?J=C3=B6rg?=\r\n =?utf-8?q?_M?= <{SENDER}>",
            f"=?utf-8?q?J=C3=B6rg?= =?utf-8?q?_M?= <{SENDER}>",
        ),
        (f'From: "Shop, The" <{SENDER}>', f'"Shop, The" <{SENDER}>'),
        (f"From: {'x' * 400} <{SENDER}>", SENDER),
        ("From: Other <other@shop.example>", SENDER),
        (f"X-From: a@a.example\r\nFrom: Shop <{SENDER}>", f"Shop <{SENDER}>"),
        (f"Subject: x\r\n\r\nFrom: Shop <{SENDER}>", SENDER),
    ],
)
async def test_the_senders_name_is_not_lost_to_the_address(header: str, asked: str) -> None:
    """SES puts FromEmailAddress in place of the header."""
    _, body = await asked_for(submission(BOB, message=f"{header}\r\nTo: {BOB}\r\n\r\nhello\r\n".encode()))
    assert body["FromEmailAddress"] == asked


async def test_its_id_is_the_providers_and_no_smtp_code_is_made_up() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.script["SendEmail"] = Act(body=b'{"MessageId": "0102018f-abc-000000"}')
        result = await relay.send(submission(BOB))
    assert result.provider_message_id == "0102018f-abc-000000"
    assert [(reply.smtp_code, reply.enhanced_status) for reply in result.recipients] == [(None, None)]


async def test_each_recipient_is_named_in_its_place() -> None:
    _, body = await asked_for(submission(BOB, CAROL, DAVE, letter=letter(to=(BOB,), cc=(CAROL,), bcc=(DAVE,))))
    assert body["Destination"] == {"ToAddresses": [BOB], "CcAddresses": [CAROL], "BccAddresses": [DAVE]}


async def test_whom_the_letter_does_not_name_stays_unseen() -> None:
    _, body = await asked_for(submission(BOB, DAVE, letter=letter(to=(BOB,))))
    assert body["Destination"] == {"ToAddresses": [BOB], "BccAddresses": [DAVE]}


async def test_who_is_named_twice_is_addressed_once() -> None:
    _, body = await asked_for(submission(BOB, letter=letter(to=(BOB,), cc=(BOB,), bcc=(BOB,))))
    assert body["Destination"] == {"ToAddresses": [BOB]}


async def test_without_a_letter_everybody_is_addressed_alike() -> None:
    _, body = await asked_for(submission(BOB, CAROL))
    assert body["Destination"] == {"ToAddresses": [BOB, CAROL]}
    assert "EmailTags" not in body


@pytest.mark.parametrize(
    ("email_id", "tag"),
    [("019e0a4c-1b2d-7c3e-8f90-0a1b2c3d4e5f",) * 2, ("a b/é.c", "a-b---c"), ("x" * 300, "x" * 256)],
    ids=["uuid", "strange", "long"],
)
async def test_the_emails_id_is_a_tag_in_the_letters_that_ses_takes(email_id: str, tag: str) -> None:
    _, body = await asked_for(submission(BOB, letter=letter(email_id=email_id)))
    assert body["EmailTags"] == [{"Name": "email_id", "Value": tag}]


async def test_an_empty_reverse_path_leaves_the_sender_to_the_header() -> None:
    result, body = await asked_for(submission(BOB, sender=""))
    assert "FromEmailAddress" not in body
    assert outcomes(result) == {BOB: "accepted"}


async def test_addresses_outside_ascii_fail_and_the_others_are_sent() -> None:
    result, body = await asked_for(submission("jörg@b.example", BOB))
    assert outcomes(result) == {"jörg@b.example": "failed", BOB: "accepted"}
    assert body["Destination"] == {"ToAddresses": [BOB]}


@pytest.mark.parametrize("changes", [{"sender": "jörg@shop.example"}, {"smtputf8": True}], ids=["sender", "message"])
async def test_what_needs_smtputf8_is_not_sent_at_all(changes: dict[str, Any]) -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        result = await relay.send(submission(BOB, **changes))
        assert outcomes(result) == {BOB: "failed"}
        assert "unsupported_address" in result.recipients[0].text
        assert ses.requests == []


async def test_ten_megabytes_arrive_whole() -> None:
    message = MESSAGE + (b"x" * 70 + b"\r\n") * 150_000
    async with SesServer() as ses, relay_for(ses) as relay:
        assert outcomes(await relay.send(submission(BOB, message=message))) == {BOB: "accepted"}
        assert ses.account.letters[0].message == message


async def test_neither_key_nor_secret_is_in_what_is_sent() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        await relay.send(submission(BOB))
        request = ses.requests[0]
    assert SECRET_ACCESS_KEY not in f"{request.headers} {request.body}"
    elsewhere = {name: value for name, value in request.headers.items() if name != "Authorization"}
    assert ACCESS_KEY_ID not in f"{elsewhere} {request.body}"
    assert request.headers["User-Agent"].startswith("Temps")


async def test_connections_are_kept() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        for _ in range(5):
            await relay.send(submission(BOB))
        assert len({id(request.connection) for request in ses.requests}) == 1
