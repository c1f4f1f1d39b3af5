"""The relay in memory, held to the same contract as the real ones that it stands in for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.relay.port import Trouble
from tests.integration.relay.kinds import MAX_CONNECTIONS, Arrived, Harness, KindOf, Knob
from tests.support.recording_relay import RecordingRelay, refuse, subject_of


@asynccontextmanager
async def _opened(hasty: bool) -> AsyncIterator[Harness]:  # noqa: FBT001 - the suite's
    relay = RecordingRelay(MAX_CONNECTIONS)

    async def received() -> list[Arrived]:
        return [Arrived(each.recipients, subject_of(each.message), each.message.decode()) for each in relay.taken]

    async def arrived() -> None:
        await relay.arrival.wait()

    async def publish(domain: str) -> None:
        relay.published.add(domain)

    def plays(trouble: Trouble) -> Knob:
        async def knob() -> None:
            relay.trouble = trouble

        return knob

    async def refuse_message() -> None:
        relay.play = refuse

    async def fall_silent() -> None:
        relay.silence = 0.05 if hasty else 60

    async def linger() -> None:
        relay.pause = 0.02

    yield Harness(
        relay,
        received,
        refuse_credentials=plays(Trouble("configuration", "535 credentials invalid")),
        refuse_message=refuse_message,
        fall_silent=fall_silent,
        away=plays(Trouble("connection", "nobody listens")),
        throttle=plays(Trouble("throttled", "too fast")),
        use_up_quota=plays(Trouble("quota", "used up for today")),
        linger=linger,
        handed_over=arrived,
        connections=lambda: relay.at_work,
        most_at_once=lambda: relay.most_at_work,
        publish=publish,
    )
    await relay.close()


KINDS = (KindOf("memory", _opened),)
