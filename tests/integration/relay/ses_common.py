"""What the SES tests share: our settings for a far side, and one message."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from pydantic import SecretStr

from libs.common.mime.addresses import Mailbox
from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import Letter, SendResult, Submission
from libs.common.relay.ses.relay import SesRelay, SesSettings, open_ses_relay
from tests.support.ses import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, SesServer
from tests.support.ses_account import Known

HASTY = 0.4
"""Seconds of silence, only where silence is what is played."""
SENDER, DOMAIN = "shop@shop.example", "shop.example"
BOB, CAROL, DAVE = "bob@b.example", "carol@c.example", "dave@d.example"
MESSAGE = b"From: Shop <shop@shop.example>\r\nTo: bob@b.example\r\nSubject: hi\r\n\r\nhello\r\n"


def settings(url: str, **changes: Any) -> SesSettings:
    plain = SesSettings(ACCESS_KEY_ID, SecretStr(SECRET_ACCESS_KEY), REGION, url, max_connections=3)
    return replace(plain, **changes)


@asynccontextmanager
async def relay_for(
    server: SesServer, *, policy: OutboundPolicy | None = None, **changes: Any
) -> AsyncIterator[SesRelay]:
    """A relay of ours for this server, whose account may send from `DOMAIN`."""
    server.account.identities.setdefault(DOMAIN, Known("SUCCESS", mail_from=f"send.{DOMAIN}"))
    relay = open_ses_relay(settings(server.url, **changes), policy=policy)
    try:
        yield relay
    finally:
        await relay.close()


def submission(*recipients: str, letter: Letter | None = None, **changes: Any) -> Submission:
    plain = Submission(SENDER, recipients or (BOB,), MESSAGE, "<1@shop.example>", letter=letter)
    return replace(plain, **changes)


def letter(
    *, to: tuple[str, ...] = (BOB,), cc: tuple[str, ...] = (), bcc: tuple[str, ...] = (), email_id: str = "e-1"
) -> Letter:
    named = (tuple(Mailbox(address) for address in addresses) for addresses in (to, cc, bcc))
    first, second, third = named
    return Letter(Mailbox(SENDER), first, "hi", "hello", None, cc=second, bcc=third, email_id=email_id)


def outcomes(result: SendResult) -> dict[str, str]:
    return {reply.address: reply.outcome for reply in result.recipients}
