"""A worker that is stopped while it writes down what became of a message does not hand that back as if untouched."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.common.jetstream.errors import RefusedError
from libs.common.jetstream.streams import QUEUE, queue_consumer
from services.sender.cluster.membership import Timing
from services.sender.deliver import redelivery_rules as suspicion
from services.sender.deliver.audit import Audit
from services.sender.deliver.outcome_log import JetStreamOutcomeLog
from tests.support.relay import ScriptedRelay, say
from tests.support.sending import Sending, names

ACK_WAIT = 3.0


@pytest.mark.parametrize(("amid", "step"), [("rerouted", "move"), ("deferred", "record")])
async def test_what_was_decided_amid_a_stop_is_not_decided_again(
    world: Sending, monkeypatch: pytest.MonkeyPatch, amid: str, step: str
) -> None:
    async with ScriptedRelay({"MAIL": [say("421 4.3.2 closing")]}) as first, ScriptedRelay() as second:
        await world.provider(2, second.port)
        await world.provider(1, first.port, fallback_provider_ids=[2] if amid == "rerouted" else [])
        monkeypatch.setattr(suspicion, "CLOCK_SECONDS", 0.0)
        other = await world.start_worker(ack_wait=ACK_WAIT)
        other.worker.feeding.send_gate.draining = True  # it hands nothing out yet
        await asked_by_nobody(world)
        stopped = await world.start_worker(ack_wait=ACK_WAIT, drain_seconds=0.1, timing=Timing(0.2, 0.6, 2, ACK_WAIT))
        written = asyncio.Event()
        write = getattr(JetStreamOutcomeLog, step)

        async def write_and_stall(self: JetStreamOutcomeLog, *arguments: Any, **causes: Any) -> Any:
            stored = await write(self, *arguments, **causes)
            if self is stopped.worker.outcome_log:
                written.set()
                await asyncio.Event().wait()  # the server is slow to answer
            return stored

        monkeypatch.setattr(JetStreamOutcomeLog, step, write_and_stall)
        accepted = await world.send()
        async with asyncio.timeout(10):
            await written.wait()
        if amid == "rerouted":
            await world.until_last(accepted.email_id, "sent")
        await stopped.stop()
        other.worker.feeding.send_gate.draining = False
        await world.until_last(accepted.email_id, "sent", seconds=30)
        await world.drained()
        assert names(await world.facts(accepted.email_id)) == ["accepted", amid, "sent"]
        audit = Audit(world.bus, other.worker.outcome_log, now=lambda: datetime.now(UTC) + timedelta(seconds=61))
        assert await audit.once() == 0
        assert len(first.messages) + len(second.messages) == 1


async def asked_by_nobody(world: Sending) -> None:
    """Wait until the consumer of provider 1's mail is there and nobody waits for any."""
    waiting = 1
    async with asyncio.timeout(10):
        while waiting:
            with contextlib.suppress(RefusedError):
                waiting = (await world.bus.api(f"CONSUMER.INFO.{QUEUE}.{queue_consumer(1, 'normal')}"))["num_waiting"]
            await asyncio.sleep(0.02)
