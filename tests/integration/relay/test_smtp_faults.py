"""Where the wire may break, and what may be concluded; one test per row, with and without groups."""

import asyncio
from typing import Literal

import pytest

from libs.common.relay.smtp.relay import Timeouts
from tests.integration.relay.common import (
    BOB,
    BOTH_WAYS,
    CAROL,
    HASTY,
    MESSAGE,
    ONE_BY_ONE,
    PATIENT,
    PIPELINED,
    outcomes,
    patient_but,
    relay_for,
    sent,
    submission,
)
from tests.support import aio
from tests.support.relay import Act, ScriptedRelay, close, hang, lose, raw, reset, say

NOT_SENT = [
    ("no banner", {"connect": hang()}, patient_but(banner=HASTY), None),
    ("banner 421", {"connect": say("421 4.3.2 too busy", "close")}, PATIENT, 421),
    ("banner 554", {"connect": say("554 5.7.1 go away", "close")}, PATIENT, 554),
    ("banner that is not SMTP", {"connect": raw(b"HTTP/1.1 400 Bad Request\r\n\r\n", "close")}, PATIENT, None),
    ("banner in half", {"connect": raw(b"22", "close")}, PATIENT, None),
    ("EOF instead of a banner", {"connect": close()}, PATIENT, None),
    ("RST instead of a banner", {"connect": reset()}, PATIENT, None),
    ("EHLO 421", {"EHLO": say("421 closing", "close")}, PATIENT, 421),
    ("no answer to EHLO", {"EHLO": hang()}, patient_but(command=HASTY), None),
    ("EOF after MAIL", {"MAIL": close()}, PATIENT, None),
    ("RST after MAIL", {"MAIL": reset()}, PATIENT, None),
    ("no answer to MAIL", {"MAIL": hang()}, patient_but(command=HASTY), None),
    ("MAIL 421", {"MAIL": say("421 4.3.2 closing", "close")}, PATIENT, 421),
    ("garbage for MAIL", {"MAIL": raw(b"what?\r\n")}, PATIENT, None),
    ("354 for MAIL", {"MAIL": say("354 go")}, PATIENT, None),
    ("RCPT 421 and close", {"RCPT": say("421 4.7.0 closing", "close")}, PATIENT, 421),
    ("EOF after RCPT", {"RCPT": close()}, PATIENT, None),
    ("no answer to RCPT", {"RCPT": hang()}, patient_but(command=HASTY), None),
    ("a reply with two codes", {"RCPT": raw(b"250-yes\r\n550 no\r\n")}, PATIENT, None),
    ("354 for RCPT", {"RCPT": say("354 go")}, PATIENT, None),
    ("EOF at DATA", {"DATA": close()}, PATIENT, None),
    ("RST at DATA", {"DATA": reset()}, PATIENT, None),
    ("no answer to DATA", {"DATA": hang()}, patient_but(data=HASTY), None),
    ("DATA 421", {"DATA": say("421 closing", "close")}, PATIENT, 421),
    ("250 for DATA", {"DATA": say("250 ok")}, PATIENT, None),
    ("421 for the message", {"dot": say("421 4.3.2 closing", "close")}, PATIENT, 421),
]


@pytest.mark.parametrize("extensions", BOTH_WAYS, ids=("group", "one by one"))
@pytest.mark.parametrize(("script", "timeouts", "code"), [row[1:] for row in NOT_SENT], ids=[r[0] for r in NOT_SENT])
def test_before_the_dot_nothing_was_sent(
    script: dict[str, Act], timeouts: Timeouts, code: int | None, extensions: tuple[str, ...]
) -> None:
    relay = ScriptedRelay(script, extensions=extensions)
    result = aio.run(sent(relay, BOB, CAROL, timeouts=timeouts))
    assert result.trouble is not None
    assert (result.trouble.kind, result.trouble.smtp_code) == ("connection", code)
    assert relay.messages == []


@pytest.mark.parametrize("extensions", BOTH_WAYS, ids=("group", "one by one"))
@pytest.mark.parametrize("fault", [close(), reset()], ids=("EOF", "RST"))
def test_a_line_that_breaks_in_the_middle_of_the_content_sent_nothing(fault: Act, extensions: tuple[str, ...]) -> None:
    # Larger than the socket buffers, so that the content cannot all have gone out when the line breaks.
    large = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 150_000
    relay = ScriptedRelay({"content": fault}, extensions=[*extensions, "SIZE 0"])
    result = aio.run(sent(relay, message=large))
    assert result.trouble is not None
    assert (result.trouble.kind, result.trouble.smtp_code) == ("connection", None)
    assert relay.messages == []


def test_a_line_that_is_seen_to_break_before_the_dot_sent_nothing() -> None:
    relay = ScriptedRelay({"content": close()})

    async def until_it_is_seen() -> bool:
        await relay.sessions[0].closed.wait()
        # The relay is in this process: two turns of the loop bring its EOF to our side, more do no harm.
        for _ in range(20):
            await asyncio.sleep(0)
        return True

    result = aio.run(sent(relay, before_dot=until_it_is_seen))
    assert result.trouble is not None
    assert result.trouble.kind == "connection"
    assert relay.messages == []


def test_a_refusal_in_the_middle_of_the_content_stands() -> None:
    large = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * 150_000
    relay = ScriptedRelay({"content": say("552 5.3.4 that is too much", "hang")}, extensions=["SIZE 0"])

    async def run() -> None:
        async with relay, relay_for(relay, timeouts=patient_but(block=HASTY)) as ours:
            result = await ours.send(submission(message=large))
            assert outcomes(result) == {BOB: ("failed", 552)}
            assert relay.messages == []

    aio.run(run())


UNKNOWN = [
    ("EOF after the dot", lose(), PATIENT),
    ("RST after the dot", Act(b"", "reset", message_kept=True), PATIENT),
    ("no reply after the dot", Act(b"", "hang", message_kept=True), patient_but(final_dot=2 * HASTY)),
    ("garbage after the dot", Act(b"\x00\xffnonsense\r\n", message_kept=True), PATIENT),
    ("a reply of two codes", Act(b"250-taken\r\n550 not taken\r\n", message_kept=True), PATIENT),
    ("an intermediate reply", Act(b"354 go on\r\n", message_kept=True), PATIENT),
    ("half a reply", Act(b"25", "close", message_kept=True), PATIENT),
    ("a reply without its line end", Act(b"250 ok", "close", message_kept=True), PATIENT),
    ("half a reply and silence", Act(b"250 o", "hang", message_kept=True), patient_but(final_dot=2 * HASTY)),
    ("a multi-line reply that never ends", Act(b"250-taken\r\n", "close", message_kept=True), PATIENT),
    ("an endless line", Act(b"250 " + b"x" * 100_000, "hang", message_kept=True), PATIENT),
]


@pytest.mark.parametrize("extensions", BOTH_WAYS, ids=("group", "one by one"))
@pytest.mark.parametrize(("fault", "timeouts"), [row[1:] for row in UNKNOWN], ids=[row[0] for row in UNKNOWN])
def test_after_the_dot_without_a_usable_reply_nobody_knows(
    fault: Act, timeouts: Timeouts, extensions: tuple[str, ...]
) -> None:
    async def run() -> None:
        async with (
            ScriptedRelay({"dot": [fault]}, extensions=extensions) as relay,
            relay_for(relay, timeouts=timeouts) as ours,
        ):
            result = await ours.send(submission(BOB, CAROL))
            assert result.unknown_stage == "final_dot"
            assert result.detail
            assert result.provider_message_id is None
            assert len(relay.messages) == 1
            # That connection is never used again.
            again = await ours.send(submission(BOB))
            assert outcomes(again) == {BOB: ("accepted", 250)}
            assert len(relay.sessions) == 2

    aio.run(run())


@pytest.mark.parametrize("extensions", BOTH_WAYS, ids=("group", "one by one"))
@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("451 4.3.0 try later", "deferred"),
        ("452 4.3.1 no room", "deferred"),
        ("552 5.3.4 too big", "failed"),
        ("554 5.7.1 spam", "failed"),
        ("550 5.1.1 strange place to say so", "failed"),
        ("554 4.7.1 make up your mind", "deferred"),
        ("250 2.0.0 queued as 42", "accepted"),
        ("250 taken, no code", "accepted"),
    ],
)
def test_a_reply_after_the_dot_is_for_everybody_accepted_before(
    reply: str, outcome: str, extensions: tuple[str, ...]
) -> None:
    relay = ScriptedRelay({"dot": say(reply), f"RCPT:{CAROL}": say("550 5.1.1 unknown")}, extensions=extensions)
    result = aio.run(sent(relay, BOB, CAROL))
    assert outcomes(result) == {BOB: (outcome, int(reply[:3])), CAROL: ("bounced", 550)}
    assert result.recipients[0].text == reply[4:]
    assert (result.provider_message_id is not None) == (outcome == "accepted")


@pytest.mark.parametrize("extensions", BOTH_WAYS, ids=("group", "one by one"))
def test_a_reply_and_the_end_of_the_line_together_are_still_a_reply(extensions: tuple[str, ...]) -> None:
    relay = ScriptedRelay({"dot": say("250 2.0.0 queued, bye", "close")}, extensions=extensions)
    assert outcomes(aio.run(sent(relay))) == {BOB: ("accepted", 250)}


@pytest.mark.parametrize("extensions", BOTH_WAYS, ids=("group", "one by one"))
def test_replies_in_pieces_are_put_together(extensions: tuple[str, ...]) -> None:
    script = {
        "connect": Act(b"220-relay.test\r\n220 hello\r\n", pieces=(1, 5, 15, 17)),
        "MAIL": Act(b"250-2.1.0 sender\r\n250 2.1.0 ok\r\n", pieces=(2, 6, 20)),
        "RCPT": Act(pieces=(3,)),
        "DATA": Act(b"354 go\r\n", pieces=(7,)),
        "dot": Act(b"250-2.0.0 queued\r\n250 2.0.0 as 42\r\n", pieces=(4, 18, 33)),
    }
    result = aio.run(sent(ScriptedRelay(script, extensions=extensions)))
    assert outcomes(result) == {BOB: ("accepted", 250)}
    assert result.recipients[0].text == "2.0.0 queued 2.0.0 as 42"


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("extensions", [PIPELINED, ONE_BY_ONE], ids=("group", "one by one"))
def test_a_message_arrives_as_it_was_submitted(loop: Literal["uvloop", "asyncio"], extensions: tuple[str, ...]) -> None:
    relay = ScriptedRelay(extensions=extensions)
    result = aio.run(sent(relay, BOB, CAROL), loop=loop)
    assert outcomes(result) == {BOB: ("accepted", 250), CAROL: ("accepted", 250)}
    assert result.provider_message_id == "<1@a.example>"
    (message,) = relay.messages
    assert (message.mail_from, message.recipients) == ("shop@a.example", (BOB, CAROL))
    assert message.raw == MESSAGE
    assert message.parameters == f"SIZE={len(MESSAGE)}"
    assert relay.sessions[0].verbs() == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"]


@pytest.mark.parametrize("extensions", BOTH_WAYS, ids=("group", "one by one"))
@pytest.mark.parametrize(
    ("early", "expected"),
    [
        ("250 2.0.0 queued already", {}),
        ("354 still going", {}),
        ("421 4.3.2 closing", {}),
        ("451 4.3.0 later", {BOB: ("deferred", 451)}),
        ("554 5.7.1 I have seen enough", {BOB: ("failed", 554)}),
    ],
)
def test_an_answer_that_comes_before_the_dot_keeps_the_dot_back(
    early: str, expected: dict[str, tuple[str, int | None]], extensions: tuple[str, ...]
) -> None:
    relay = ScriptedRelay({"content": say(early)}, extensions=extensions)

    async def until_it_is_here() -> bool:
        await relay.reached("content")
        for _ in range(20):  # turns of the loop that bring its words to our side
            await asyncio.sleep(0)
        return True

    result = aio.run(sent(relay, before_dot=until_it_is_here))
    assert outcomes(result) == expected
    assert (result.trouble is None) == bool(expected)
    assert result.unknown_stage is None
    assert relay.messages == []
