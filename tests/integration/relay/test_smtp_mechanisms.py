"""AUTH as relays really speak it: a mechanism's failure is not a wrong password until every mechanism has said so."""

from typing import Literal

import pytest

from libs.common.relay.smtp.relay import open_smtp_relay
from tests.integration.relay.common import CREDENTIALS, PASSWORD, USER, settings, submission, tried
from tests.support import aio
from tests.support.relay import Act, ScriptedRelay, say

Way = Literal["usual", "no initial response", "asks again"]


def auth_lines(relay: ScriptedRelay) -> list[str]:
    """AUTH commands by mechanism, over all sessions; a star marks an initial response."""
    lines = [line.decode().split() for session in relay.sessions for line in session.commands]
    return [f"{line[1]}{'*' if len(line) > 2 else ''}" for line in lines if line[0] == "AUTH"]


USUAL, DRAFT = ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"), ("VXNlciBOYW1lAA==", "UGFzc3dvcmQA")
NOT_ENCODED, EMPTY = ("Username:", "Password:"), ("", "")


@pytest.mark.parametrize(
    ("way", "challenges"),
    [
        *((way, asked) for way in ("usual", "no initial response") for asked in (USUAL, DRAFT, NOT_ENCODED, EMPTY)),
        # An empty challenge after the name can only be the password's.
        *(("asks again", asked) for asked in (USUAL, DRAFT, NOT_ENCODED)),
    ],
)
def test_login_answers_what_the_relay_asks(way: Way, challenges: tuple[str, str]) -> None:
    relay = ScriptedRelay(login=(USER, PASSWORD), mechanisms=("LOGIN",), login_way=way, challenges=challenges)
    assert tried(relay, **CREDENTIALS) is None
    assert relay.sessions[0].login == ("LOGIN", USER, PASSWORD)
    assert auth_lines(relay) == (["LOGIN*", "LOGIN"] if way == "no initial response" else ["LOGIN*"])


@pytest.mark.parametrize("refusal", ["504 5.5.4 not here", "501 5.5.2 what", "535 5.7.8 no", "550 5.7.1 no"])
def test_a_broken_mechanism_leaves_the_other_one(refusal: str) -> None:
    relay = ScriptedRelay({"AUTH:PLAIN": say(refusal)}, login=(USER, PASSWORD))
    assert tried(relay, **CREDENTIALS) is None
    assert auth_lines(relay) == ["PLAIN*", "LOGIN*"]


def test_a_relay_that_hangs_up_after_a_refusal_is_asked_again() -> None:
    relay = ScriptedRelay({"AUTH:PLAIN": say("504 5.5.4 not here", "close")}, login=(USER, PASSWORD))
    assert tried(relay, **CREDENTIALS) is None
    assert auth_lines(relay) == ["PLAIN*", "LOGIN*"]
    assert len(relay.sessions) == 2


def test_the_mechanism_that_worked_is_the_first_next_time() -> None:
    script = {"AUTH:PLAIN": say("504 5.5.4 not here")}

    async def run() -> None:
        async with ScriptedRelay(script, login=(USER, PASSWORD)) as relay:
            ours = open_smtp_relay(settings(relay.port, messages_per_connection=1, **CREDENTIALS))
            for _ in range(2):
                assert (await ours.send(submission())).trouble is None
            await ours.close()
            assert auth_lines(relay) == ["PLAIN*", "LOGIN*", "LOGIN*"]

    aio.run(run())


@pytest.mark.parametrize(
    ("plain", "code"), [("535 5.7.8 credentials invalid", 535), ("504 5.5.4 mechanism not known", 535)]
)
def test_credentials_are_wrong_when_all_refuse_them(plain: str, code: int) -> None:
    relay = ScriptedRelay({"AUTH:PLAIN": say(plain)}, login=(USER, "another"))
    trouble = tried(relay, **CREDENTIALS)
    assert trouble is not None
    assert (trouble.kind, trouble.smtp_code) == ("configuration", code)
    assert auth_lines(relay) == ["PLAIN*", "LOGIN*"]


@pytest.mark.parametrize("goodbye", ["454 4.7.0 temporary failure", "421 4.7.0 later"])
def test_a_temporary_refusal_asks_no_second_mechanism(goodbye: str) -> None:
    relay = ScriptedRelay({"AUTH:PLAIN": [say(goodbye), Act()]}, login=(USER, PASSWORD))
    trouble = tried(relay, **CREDENTIALS)
    assert trouble is not None
    assert trouble.kind == "connection"
    assert auth_lines(relay) == ["PLAIN*"]
