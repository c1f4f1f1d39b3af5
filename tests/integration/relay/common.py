"""What the SMTP tests share: one message, short patience, and a relay of ours for a scripted one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from libs.common.relay.port import BeforeDot, SendResult, Submission, Trouble
from libs.common.relay.smtp.relay import SmtpRelay, SmtpSettings, Timeouts, open_smtp_relay
from tests.support import aio
from tests.support.relay import Script, ScriptedRelay, hang

MESSAGE = b"Subject: hi\r\nMessage-ID: <1@a.example>\r\n\r\nhello\r\n.leading\r\n"
USER, PASSWORD = "alice@a.example", "correct horse battery"
CREDENTIALS = {"username": USER, "password": SecretStr(PASSWORD)}
BOB, CAROL, DAVE = "bob@b.example", "carol@b.example", "dave@b.example"
PATIENT = Timeouts(connect=5, banner=5, command=5, data=5, block=5, final_dot=5, quit=2, check=5)
# Silence is waited for at the one step where it is played, so that a busy machine changes no outcome.
HASTY = 0.4


def patient_but(**hasty: float) -> Timeouts:
    """Patience everywhere but at these steps."""
    return replace(PATIENT, **hasty)


PIPELINED = ("PIPELINING", "SIZE 10485760", "8BITMIME", "SMTPUTF8")
ONE_BY_ONE = ("SIZE 10485760", "8BITMIME", "SMTPUTF8")
BOTH_WAYS: Sequence[tuple[str, ...]] = (PIPELINED, ONE_BY_ONE)


def submission(*recipients: str, message: bytes = MESSAGE, sender: str = "shop@a.example") -> Submission:
    return Submission(sender, recipients or (BOB,), message, "<1@a.example>")


def settings(port: int, **changes: Any) -> SmtpSettings:
    plain = SmtpSettings("127.0.0.1", port, encryption="none", timeouts=PATIENT)
    return replace(plain, **changes)


@asynccontextmanager
async def relay_for(scripted: ScriptedRelay, **changes: Any) -> AsyncIterator[SmtpRelay]:
    relay = open_smtp_relay(settings(scripted.port, **changes))
    try:
        yield relay
    finally:
        await relay.close()


async def sent(
    scripted: ScriptedRelay,
    *recipients: str,
    message: bytes = MESSAGE,
    before_dot: BeforeDot | None = None,
    **changes: Any,
) -> SendResult:
    """One message, then the connections are closed and gone; what was left behind is on the scripted relay."""
    async with scripted:
        async with relay_for(scripted, **changes) as relay:
            result = await relay.send(submission(*recipients, message=message), before_dot=before_dot)
        await scripted.deserted()
    return result


def outcomes(result: SendResult) -> dict[str, tuple[str, int | None]]:
    return {reply.address: (reply.outcome, reply.smtp_code) for reply in result.recipients}


async def at_home(_host: str, _port: int) -> tuple[str, ...]:
    """Every name is this machine, without being called localhost: so certificates are verified in earnest."""
    return ("127.0.0.1",)


def patience(script: Script) -> Timeouts:
    """Short only where this script says nothing."""
    return patient_but(command=2 * HASTY) if hang() in script.values() else PATIENT


def tried(relay: ScriptedRelay, **changes: object) -> Trouble | None:
    """`check_credentials` against this relay."""

    async def run() -> Trouble | None:
        async with relay:
            return await open_smtp_relay(settings(relay.port, **changes), resolver=at_home).check_credentials()

    return aio.run(run())
