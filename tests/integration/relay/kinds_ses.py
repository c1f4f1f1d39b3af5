"""The SES adapter before the server that plays SES, and before ministack.

moto is not among them: it hands a message to whomever its header names besides, and knows neither GetAccount nor DKIM
tokens. test_ses_emulators.py asks it what it can answer.
"""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from pydantic import SecretStr

from libs.common.relay.ses.relay import open_ses_relay
from tests.integration.relay.kinds import MAX_CONNECTIONS, SENDER_DOMAIN, Arrived, Harness, KindOf, Knob
from tests.integration.relay.ses_common import HASTY, settings
from tests.support import emulators
from tests.support.emulators import Emulator
from tests.support.recording_relay import subject_of
from tests.support.relay import ScriptedRelay
from tests.support.ses import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Act, SesServer, refused
from tests.support.ses_account import Known

OPERATIONS = ("SendEmail", "GetAccount", "CreateEmailIdentity", "GetEmailIdentity", "DeleteEmailIdentity")


@asynccontextmanager
async def _opened(hasty: bool) -> AsyncIterator[Harness]:  # noqa: FBT001 - the suite's
    async with SesServer() as ses, AsyncExitStack() as closing:
        ses.account.identities[SENDER_DOMAIN] = Known("SUCCESS", mail_from=f"send.{SENDER_DOMAIN}")
        patience = HASTY if hasty else 30.0
        relay = open_ses_relay(settings(ses.url, max_connections=MAX_CONNECTIONS, read_timeout=patience))
        closing.push_async_callback(relay.close)

        def plays(act: Act) -> Knob:
            async def knob() -> None:
                ses.script["SendEmail"] = act

            return knob

        async def received() -> list[Arrived]:
            return [
                Arrived(each.recipients, subject_of(each.message), each.message.decode())
                for each in ses.account.letters
            ]

        async def refuse_credentials() -> None:
            # It repeats what it was offered, as a signature error does.
            words = f"The signature of {ACCESS_KEY_ID} with {SECRET_ACCESS_KEY} does not match."
            ses.script |= dict.fromkeys(OPERATIONS, refused(403, "InvalidSignatureException", words))

        async def publish(domain: str) -> None:
            ses.account.publish(domain)

        yield Harness(
            relay,
            received,
            credentials=(ACCESS_KEY_ID, SECRET_ACCESS_KEY),
            refuse_credentials=refuse_credentials,
            refuse_message=plays(refused(400, "MessageRejected", "Email address is not verified.")),
            fall_silent=plays(Act(then="hang", carry_out=True)),
            away=ses.leave,
            throttle=plays(refused(429, "TooManyRequestsException", "Maximum sending rate exceeded.")),
            use_up_quota=plays(refused(400, "LimitExceededException", "Daily message quota exceeded.")),
            linger=plays(Act(then="usual", delay=0.02)),
            handed_over=lambda: ses.came("SendEmail"),
            connections=lambda: ses.connections,
            most_at_once=lambda: ses.most_at_work,
            publish=publish,
        )


@asynccontextmanager
async def _ministack(hasty: bool) -> AsyncIterator[Harness]:  # noqa: FBT001 - the suite's
    del hasty
    emulator = await asyncio.to_thread(emulators.ministack)
    await asyncio.to_thread(emulator.empty)
    async with ScriptedRelay(port=emulator.inbox) as inbox, AsyncExitStack() as closing:
        keys = {"access_key_id": "test-key-id", "secret_access_key": SecretStr("test-secret-key")}
        relay = open_ses_relay(settings(emulator.url, max_connections=MAX_CONNECTIONS, **keys))
        closing.push_async_callback(relay.close)
        await relay.create_identity(SENDER_DOMAIN)

        async def received() -> list[Arrived]:
            # It answers first and delivers behind our back, as SES does.
            await inbox.received(await asyncio.to_thread(_taken, emulator))
            return [Arrived(each.recipients, subject_of(each.raw), each.raw.decode()) for each in inbox.messages]

        async def refuse_message() -> None:
            await relay.delete_identity(SENDER_DOMAIN)  # its sender is not verified any more

        yield Harness(
            relay,
            received,
            credentials=("test-key-id", "test-secret-key"),
            refuse_message=refuse_message,
            verifies_at_once=True,
        )


def _taken(emulator: Emulator) -> int:
    with urllib.request.urlopen(f"{emulator.url}/_ministack/ses/messages", timeout=10) as answer:
        return sum(len(each) for each in json.load(answer)["messages"].values())  # by account


KINDS = (KindOf("ses", _opened), KindOf("ministack", _ministack, emulators.missing))
