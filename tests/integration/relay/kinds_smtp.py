"""The SMTP adapter before a scripted relay, in one group of commands and one by one."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from libs.common.relay.smtp.relay import open_smtp_relay
from tests.integration.relay.common import (
    CREDENTIALS,
    HASTY,
    ONE_BY_ONE,
    PASSWORD,
    PATIENT,
    PIPELINED,
    USER,
    patient_but,
    settings,
)
from tests.integration.relay.kinds import MAX_CONNECTIONS, Arrived, Harness, KindOf, Knob
from tests.support.recording_relay import subject_of
from tests.support.relay import Act, ScriptedRelay, hang, say


@asynccontextmanager
async def _opened(hasty: bool, extensions: Sequence[str]) -> AsyncIterator[Harness]:  # noqa: FBT001 - the suite's
    # The login that the relay accepts is the one it is offered, until a knob is turned.
    scripted = ScriptedRelay(extensions=extensions, login=(USER, PASSWORD))
    async with scripted:
        relay = open_smtp_relay(
            settings(
                scripted.port,
                max_connections=MAX_CONNECTIONS,
                timeouts=patient_but(final_dot=HASTY) if hasty else PATIENT,
                **CREDENTIALS,
            )
        )

        def plays(stage: str, act: Act) -> Knob:
            async def knob() -> None:
                scripted.script[stage] = act

            return knob

        async def received() -> list[Arrived]:
            return [Arrived(each.recipients, subject_of(each.raw), each.raw.decode()) for each in scripted.messages]

        async def away() -> None:
            await scripted.__aexit__(None, None, None)

        yield Harness(
            relay,
            received,
            credentials=(PASSWORD, USER),
            # The reply repeats what it was offered, as some relays do.
            refuse_credentials=plays("AUTH", say(f"535 5.7.8 {USER} with {PASSWORD} is not known")),
            refuse_message=plays("dot", say("554 5.7.1 looks like spam")),
            fall_silent=plays("dot", hang()),
            away=away,
            throttle=plays("dot", say("454 Throttling failure: Maximum sending rate exceeded.")),
            use_up_quota=plays("dot", say("454 Throttling failure: Daily message quota exceeded.")),
            linger=plays("dot", Act(delay=0.02)),
            handed_over=lambda: scripted.reached("dot"),
            connections=lambda: scripted.open_sessions,
            most_at_once=lambda: scripted.most_open,
            keeps_identities=False,
        )
        await relay.close()


def _kind(name: str, extensions: Sequence[str]) -> KindOf:
    def opened(hasty: bool) -> AbstractAsyncContextManager[Harness]:  # noqa: FBT001 - the suite's
        return _opened(hasty, extensions)

    return KindOf(name, opened)


KINDS = (_kind("smtp", PIPELINED), _kind("smtp-one-by-one", ONE_BY_ONE))
