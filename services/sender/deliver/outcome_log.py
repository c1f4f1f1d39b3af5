"""Writing outcomes and schedules until they are written, however long that takes; and finding them again."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import orjson

from libs.common.errors import TempsError
from libs.common.facts import Actor, Envelope, decode, new_envelope, timestamp, uuid7
from libs.common.facts.email import EmailFact
from libs.common.facts.provider import ProviderState, ProviderStopped, Stopped
from libs.common.jetstream.append import append, append_to_set, publish_durably
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.retrying import persistently
from libs.common.jetstream.streams import EVENTS, due_subject, schedule_subject
from libs.common.jetstream.views import View
from libs.common.relay.connection import same_connection
from services.sender.channel.send_gate import SendGate
from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.recent_outcomes import RecentOutcomes, read_outcome

log = logging.getLogger(__name__)

WORKER = Actor(id="sender", kind="system")
_SCHEDULE_TTL = "168h"
_PAUSE, _MAX_PAUSE = 0.1, 5.0
_CLOCKS = timedelta(seconds=2)

T = TypeVar("T")


class _AlreadyDecided(Exception):
    """The provider was stopped, changed or deleted by somebody else first."""


@dataclass(frozen=True, slots=True)
class JetStreamOutcomeLog:
    """`services.sender.ports.OutcomeLog` over the log."""

    bus: Bus
    send_gate: SendGate
    recent: RecentOutcomes
    providers: Mapping[int, ProviderState]
    """Those that exist, as `view` sees them."""
    view: View
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))

    async def find(self, attempt: Attempt, *, redelivered: bool) -> Envelope | None:
        """From memory when the attempt is young, else from the log.

        What memory does not know of a redelivered one is asked of the log too: a lost worker's last outcome may have
        reached it after this one began.
        """
        sequence = self.recent.sequence_of(attempt.key)
        if sequence is not None:
            found = await persistently(lambda: self.bus.direct_get(EVENTS, sequence))
            if found is not None:
                fact = decode(found.data, log_subject=found.subject, stream=EVENTS, sequence=sequence)
                if fact.data.get("email_id") == str(attempt.email_id):
                    return fact
        elif not redelivered and self.recent.knows_of(attempt.outcome_since.timestamp()):
            return None
        since = attempt.outcome_since - _CLOCKS
        return await persistently(lambda: read_outcome(self.bus, attempt.key, since))

    async def record(self, fact: EmailFact, *, correlation_id: str | None, causation_id: str | None) -> Envelope:
        """Append a fact; while that fails nothing new is sent (a lost outcome would be sent again)."""
        envelope = new_envelope(
            fact,
            source="sender",
            actor=WORKER,
            at=self.now(),
            correlation_id=correlation_id,
            causation_id=causation_id,
        )
        stored = await self._until_written(lambda: append(self.bus, envelope))
        self.recent.remember(stored)
        return stored

    async def move(self, attempt: Attempt, rerouted: Envelope) -> None:
        """Straight to where a schedule would put it, which the queue sources within milliseconds.

        The fact's id names the message: within the stream's window for duplicates (two minutes) a repeat after a
        crash is dropped by the server, and a later one is noticed by how long ago the fact was written.
        """
        subject, body = due_subject(attempt.provider_id, attempt.lane), orjson.dumps(attempt.body())
        msg_id, headers = f"{rerouted.id}.due", {"Nats-TTL": _SCHEDULE_TTL}
        await self._until_written(lambda: publish_durably(self.bus, subject, body, msg_id=msg_id, headers=headers))

    async def schedule(self, attempt: Attempt) -> None:
        """Publish the schedule, with an id of its own each time.

        Published again under the same id within two minutes it would be dropped as a duplicate, although an
        earlier attempt's schedule may have taken its place (there is one per email).
        """
        headers = {
            "Nats-Schedule": f"@at {timestamp(attempt.due_at)}",
            "Nats-Schedule-Target": due_subject(attempt.provider_id, attempt.lane),
            "Nats-Schedule-TTL": _SCHEDULE_TTL,
        }
        subject, body, msg_id = schedule_subject(attempt.email_id), orjson.dumps(attempt.body()), str(uuid7())
        await self._until_written(lambda: publish_durably(self.bus, subject, body, msg_id=msg_id, headers=headers))

    async def stop_provider(self, provider: ProviderState, reason: str) -> None:
        """The view's present state with `stopped` added, under optimistic concurrency."""

        def decide() -> Envelope:
            state = self.providers.get(provider.id)
            # What was tried has to be what is configured: old credentials must not stop the new ones.
            if state is None or state.stopped is not None or not same_connection(state, provider):
                raise _AlreadyDecided
            now = self.now()
            stopped = state.model_copy(update={"stopped": Stopped(reason=reason, at=now), "updated_at": now})
            return new_envelope(ProviderStopped(provider=stopped), source="sender", actor=WORKER, at=now)

        try:
            await self._until_written(lambda: append_to_set(self.bus, self.view, decide))
        except _AlreadyDecided:
            return
        log.warning("provider %d is stopped: %s", provider.id, reason)

    async def _until_written(self, write: Callable[[], Awaitable[T]]) -> T:
        key = object()
        self.send_gate.writing[key] = time.monotonic()
        try:
            return await write()
        except (BusError, TempsError) as error:
            log.error("an outcome cannot be written, sending pauses: %s", error)  # noqa: TRY400 - no fault of ours
        finally:
            del self.send_gate.writing[key]
        self.send_gate.blocked += 1
        try:
            pause = _PAUSE
            while True:
                await asyncio.sleep(pause)
                try:
                    written = await write()
                except (BusError, TempsError) as error:
                    pause = min(2 * pause, _MAX_PAUSE)
                    log.warning("still unwritten: %s", error)
                else:
                    log.info("written at last")
                    return written
        finally:
            self.send_gate.blocked -= 1
