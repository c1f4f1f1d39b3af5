"""What each reply class leads to when a relay really says it, envelope by envelope."""

import pytest

from libs.common.relay.port import Submission
from tests.integration.relay.common import (
    BOB,
    BOTH_WAYS,
    CAROL,
    DAVE,
    MESSAGE,
    ONE_BY_ONE,
    PIPELINED,
    outcomes,
    relay_for,
    sent,
    submission,
)
from tests.support import aio
from tests.support.relay import Act, Script, ScriptedRelay, say

both_ways = pytest.mark.parametrize("extensions", BOTH_WAYS, ids=("group", "one by one"))


@both_ways
@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("450 4.2.1 greylisted", "deferred"),
        ("451 4.7.1 later", "deferred"),
        ("452 4.2.2 mailbox full", "deferred"),
        ("550 5.1.1 no such user", "bounced"),
        ("551 not local", "bounced"),
        ("553 5.1.8 your domain does not exist", "failed"),
        ("553 5.7.1 sender address rejected: not owned by user", "failed"),
        ("550 5.7.1 no relaying", "failed"),
        ("550 4.1.1 undecided", "deferred"),
        ("454 4.7.1 relay access denied", "deferred"),
    ],
)
def test_a_refused_recipient_does_not_concern_the_others(reply: str, outcome: str, extensions: tuple[str, ...]) -> None:
    relay = ScriptedRelay({f"RCPT:{CAROL}": say(reply)}, extensions=extensions)
    result = aio.run(sent(relay, BOB, CAROL, DAVE))
    code = int(reply[:3])
    assert outcomes(result) == {BOB: ("accepted", 250), CAROL: (outcome, code), DAVE: ("accepted", 250)}
    assert [reply.address for reply in result.recipients] == [BOB, CAROL, DAVE]
    assert relay.messages[0].recipients == (BOB, DAVE)


@both_ways
def test_too_many_recipients_are_for_another_transaction(extensions: tuple[str, ...]) -> None:
    relay = ScriptedRelay(
        {"RCPT": [Act(), say("452 4.5.3 too many"), say("552 5.5.3 too many")]}, extensions=extensions
    )
    result = aio.run(sent(relay, BOB, CAROL, DAVE))
    assert outcomes(result) == {BOB: ("accepted", 250), CAROL: ("deferred", 452), DAVE: ("deferred", 552)}
    assert relay.messages[0].recipients == (BOB,)


@both_ways
def test_if_everybody_is_refused_nothing_is_sent_and_the_connection_goes_on(extensions: tuple[str, ...]) -> None:
    async def run() -> None:
        script: Script = {"RCPT": [say("550 5.1.1 unknown"), say("450 4.2.0 later")]}
        async with ScriptedRelay(script, extensions=extensions) as relay, relay_for(relay) as ours:
            result = await ours.send(submission(BOB, CAROL))
            assert outcomes(result) == {BOB: ("bounced", 550), CAROL: ("deferred", 450)}
            assert result.provider_message_id is None
            again = await ours.send(submission(DAVE))
            assert outcomes(again) == {DAVE: ("accepted", 250)}
            assert [message.recipients for message in relay.messages] == [(DAVE,)]
            assert len(relay.sessions) == 1
            assert "RSET" in relay.sessions[0].verbs()

    aio.run(run())


def test_a_relay_that_takes_data_for_nobody_is_given_a_lone_dot() -> None:
    async def run() -> None:
        script: Script = {"RCPT": [say("550 5.1.1 unknown")], "DATA": [say("354 go")], "dot": [say("554 5.5.1 nobody")]}
        async with ScriptedRelay(script, extensions=PIPELINED) as relay, relay_for(relay) as ours:
            assert outcomes(await ours.send(submission(BOB))) == {BOB: ("bounced", 550)}
            assert relay.messages == []
            assert outcomes(await ours.send(submission(CAROL))) == {CAROL: ("accepted", 250)}
            assert [(message.recipients, message.raw) for message in relay.messages] == [((CAROL,), MESSAGE)]
            assert len(relay.sessions) == 1
            assert "RSET" not in relay.sessions[0].verbs()

    aio.run(run())


@both_ways
@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("550 5.1.1 sender unknown", "failed"),
        ("553 sender not allowed", "failed"),
        ("554 Message rejected: Email address is not verified.", "failed"),
        ("552 5.3.4 too big", "failed"),
        ("451 4.3.0 later", "deferred"),
        ("452 4.3.1 no storage", "deferred"),
    ],
)
def test_a_refused_sender_is_nobodys_bounce(reply: str, outcome: str, extensions: tuple[str, ...]) -> None:
    async def run() -> None:
        async with ScriptedRelay({"MAIL": [say(reply)]}, extensions=extensions) as relay, relay_for(relay) as ours:
            result = await ours.send(submission(BOB, CAROL))
            assert outcomes(result) == {BOB: (outcome, int(reply[:3])), CAROL: (outcome, int(reply[:3]))}
            assert relay.messages == []
            assert outcomes(await ours.send(submission(DAVE))) == {DAVE: ("accepted", 250)}

    aio.run(run())


@both_ways
@pytest.mark.parametrize(("reply", "outcome"), [("451 4.3.0 later", "deferred"), ("554 5.7.1 policy", "failed")])
def test_a_refusal_at_data_is_for_the_accepted(reply: str, outcome: str, extensions: tuple[str, ...]) -> None:
    async def run() -> None:
        script: Script = {"DATA": [say(reply)], f"RCPT:{CAROL}": say("550 5.1.1 unknown")}
        async with ScriptedRelay(script, extensions=extensions) as relay, relay_for(relay) as ours:
            result = await ours.send(submission(BOB, CAROL))
            assert outcomes(result) == {BOB: (outcome, int(reply[:3])), CAROL: ("bounced", 550)}
            assert outcomes(await ours.send(submission(DAVE))) == {DAVE: ("accepted", 250)}
            assert [message.recipients for message in relay.messages] == [(DAVE,)]

    aio.run(run())


@both_ways
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "dot"])
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("530 5.7.0 Must issue a STARTTLS command first", "configuration"),
        ("535 5.7.8 not logged in", "configuration"),
        ("454 Throttling failure: Maximum sending rate exceeded.", "throttled"),
        ("454 Throttling failure: Daily message quota exceeded.", "quota"),
    ],
)
def test_what_the_provider_says_of_itself_is_no_recipients_fault(
    stage: str, reply: str, kind: str, extensions: tuple[str, ...]
) -> None:
    relay = ScriptedRelay({stage: say(reply)}, extensions=extensions)
    result = aio.run(sent(relay, BOB, CAROL))
    assert result.recipients == ()
    assert result.trouble is not None
    assert (result.trouble.kind, result.trouble.smtp_code) == (kind, int(reply[:3]))
    assert result.trouble.text == reply[4:]
    assert relay.messages == []


@both_ways
def test_relays_words_are_cut_and_cleaned(extensions: tuple[str, ...]) -> None:
    words = b"550 5.1.1 \x1b[31mred\x07 \xff\xfe " + b"x" * 900 + b"\r\n"
    result = aio.run(sent(ScriptedRelay({"RCPT": Act(words)}, extensions=extensions)))
    text = result.recipients[0].text
    assert len(text) == 512
    assert text.startswith("5.1.1")
    assert text.isprintable()


def test_smtputf8_is_used_where_it_is_offered() -> None:
    relay = ScriptedRelay(extensions=PIPELINED)
    result = aio.run(sent(relay, "bärbel@b.example", BOB))
    assert outcomes(result) == {"bärbel@b.example": ("accepted", 250), BOB: ("accepted", 250)}
    assert relay.messages[0].recipients == ("bärbel@b.example", BOB)
    assert "SMTPUTF8" in relay.messages[0].parameters


def test_without_smtputf8_only_the_address_that_needs_it_fails() -> None:
    relay = ScriptedRelay(extensions=("PIPELINING",))
    result = aio.run(sent(relay, "bärbel@b.example", BOB))
    assert outcomes(result) == {"bärbel@b.example": ("failed", None), BOB: ("accepted", 250)}
    assert result.recipients[0].enhanced_status == "5.6.7"
    assert "unsupported_address" in result.recipients[0].text
    assert relay.messages[0].recipients == (BOB,)
    assert "SMTPUTF8" not in relay.messages[0].parameters


def test_a_message_that_needs_smtputf8_is_not_sent_without() -> None:
    async def run() -> None:
        message = "From: bärbel@b.example\r\n\r\nhi\r\n".encode()
        async with ScriptedRelay(extensions=ONE_BY_ONE[:1]) as relay, relay_for(relay) as ours:
            result = await ours.send(Submission("a@a.example", (BOB,), message, "<1@a.example>", smtputf8=True))
            assert outcomes(result) == {BOB: ("failed", None)}
            assert relay.sessions[0].verbs() == ["EHLO"]

    aio.run(run())


@both_ways
def test_a_message_over_the_announced_size_is_not_even_begun(extensions: tuple[str, ...]) -> None:
    kept = [offer for offer in extensions if not offer.startswith("SIZE")]
    relay = ScriptedRelay(extensions=[*kept, f"SIZE {len(MESSAGE) - 1}"])
    result = aio.run(sent(relay, BOB))
    assert outcomes(result) == {BOB: ("failed", None)}
    assert result.recipients[0].enhanced_status == "5.3.4"
    assert relay.sessions[0].verbs() == ["EHLO", "QUIT"]


def test_a_relay_that_knows_only_helo_is_spoken_to_in_its_way() -> None:
    relay = ScriptedRelay({"EHLO": say("502 5.5.1 what?")})
    assert outcomes(aio.run(sent(relay))) == {BOB: ("accepted", 250)}
    assert relay.sessions[0].verbs() == ["EHLO", "HELO", "MAIL", "RCPT", "DATA", "QUIT"]
    assert relay.messages[0].parameters == ""


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ("550 5.4.5 Daily user sending limit exceeded", "deferred"),
        ("554 try again later", "deferred"),
        ("554 5.7.1 Relay access denied", "failed"),
    ],
)
@pytest.mark.parametrize("first", [BOB, CAROL])
def test_a_reply_about_us_beside_an_acceptance_is_one_recipients(reply: str, outcome: str, first: str) -> None:
    relay = ScriptedRelay({f"RCPT:{BOB}": say(reply)})
    second = CAROL if first == BOB else BOB
    result = aio.run(sent(relay, first, second))
    assert outcomes(result) == {BOB: (outcome, int(reply[:3])), CAROL: ("accepted", 250)}
