"""What the Scaleway tests share: one letter, and the API with a relay of ours before it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from libs.common.mime import Mailbox
from libs.common.relay.port import Letter, SendResult, Submission
from libs.common.relay.scaleway.relay import ScalewayRelay, open_scaleway_relay
from tests.integration.relay.kinds import SENDER, SENDER_DOMAIN
from tests.integration.relay.kinds_scaleway import settings
from tests.support.scaleway import ScalewayServer
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
