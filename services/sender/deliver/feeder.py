"""Feeds one provider: as many messages as it has slots for, each in a task of its own, each acknowledged once done.

A dead relay holds up only its own mail, because every provider has its own consumers on the queue.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import orjson

from libs.common.facts import Envelope, decode
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError, ConsumerGoneError, NotConnectedError
from libs.common.jetstream.message import Message, parse_time
from libs.common.jetstream.pull import Puller
from libs.common.jetstream.streams import EVENTS, QUEUE, queue_consumer, queue_subject
from services.sender.channel.provider_channel import ProviderChannel
from services.sender.channel.send_gate import SendGate
from services.sender.deliver.alternative_rules import anybody_else
from services.sender.deliver.attempt_rules import (
    Attempt,
    NotAnAttempt,
    first_attempt,
    queue_position,
    scheduled_attempt,
    source_sequence,
)
from services.sender.deliver.deliver_email import deliver_email, write_off
from services.sender.deliver.in_flight import InFlight, LeasedMessage
from services.sender.deliver.metrics import ERRORS, FINISHED, IN_HAND, REROUTES, UNREADABLE, WAITED
from services.sender.deliver.redelivery_rules import Handed
from services.sender.deliver.work import DeliverDeps, Work

log = logging.getLogger(__name__)

WINDOW = 4
"""Messages in hand for each connection: the next ones are built while the relay takes its time."""
_POLL = 0.1
_PAUSE = 0.5
_LOOK = 1.0
_ALL = 1_000_000
_FACT = b'{"specversion"'
"""How a stored fact begins (`Envelope.encode`); a schedule's body begins otherwise."""


@dataclass(frozen=True, slots=True)
class Feeding:
    """Shared by all feeders of a worker. `started_at` tells since when the server has been running, if it can."""

    bus: Bus
    send_gate: SendGate
    in_flight: InFlight
    deliver: DeliverDeps
    started_at: Callable[[], Awaitable[float | None]]


class Feeder:
    """One provider's messages of one lane."""

    def __init__(self, shared: Feeding, provider_id: int, lane: str, channel: ProviderChannel) -> None:
        """Nothing is asked of the server before `run`."""
        self._shared, self._provider_id, self._lane, self._channel = shared, provider_id, lane, channel
        self._puller: Puller | None = None
        self._bound = (-1, 0)
        self._counted_since: float | None = None
        self._index = 0
        self._in_hand = 0
        self._freed = asyncio.Event()

    @property
    def window(self) -> int:
        """How many messages may be in hand here: none where other workers have all the connections."""
        return WINDOW * self._channel.connections

    @property
    def window_of_all(self) -> int:
        """The consumer's `max_ack_pending`: how many may be in hand in all workers together, the same for each."""
        return WINDOW * self._channel.connections_of_all

    async def run(self) -> None:
        """Feed until cancelled."""
        try:
            while True:
                try:
                    await self._bind()
                    await self._feed()
                except (ConsumerGoneError, NotConnectedError) as error:
                    log.info("provider %d: %s: %s", self._provider_id, type(error).__name__, error)
                except BusError as error:
                    log.warning("provider %d cannot be fed: %s", self._provider_id, error)
                self._bound = (-1, 0)
                await asyncio.sleep(_PAUSE)
        finally:
            await self._let_go()

    async def _bind(self) -> None:
        """Make or update the consumer; remember since when its counting can be trusted."""
        bus = self._shared.bus
        if not bus.connected:
            raise NotConnectedError("NATS is away")
        connection, window = bus.connections, self.window_of_all
        await bus.ensure_consumer(
            QUEUE,
            {
                "durable_name": queue_consumer(self._provider_id, self._lane),
                "name": queue_consumer(self._provider_id, self._lane),
                "ack_policy": "explicit",
                "ack_wait": int(self._shared.in_flight.ack_wait * 1e9),
                "max_ack_pending": window,
                "max_deliver": -1,
                "filter_subject": queue_subject(self._provider_id, self._lane),
            },
        )
        started = await self._shared.started_at()
        created = parse_time((await bus.stream_state(QUEUE)).created)
        self._counted_since = max(started, created) if started is not None else None
        if self._puller is None:
            self._puller = bus.puller(QUEUE, queue_consumer(self._provider_id, self._lane))
        self._bound, self._index = (connection, window), 0

    async def _feed(self) -> None:
        puller, shared = self._puller, self._shared
        while puller is not None and self._bound == (shared.bus.connections, self.window_of_all):
            # More may have come than there is room for now, if the window has shrunk since it was asked for; and what
            # was asked for may still arrive: in hand its lease is kept, in the buffer it would lapse.
            self._start(puller.take(_ALL))
            window = self.window
            free = window - self._in_hand
            # Mail of a provider that sends nothing is fetched as long as somebody else may send it.
            flows = self._channel.ready or self._is_wanted_elsewhere()
            if not (window and flows and shared.send_gate.is_open):
                await asyncio.sleep(_POLL)
            elif free < max(1, window // WINDOW):
                # Slots are filled by the handful: a request for each one alone costs more than the message.
                self._freed.clear()
                with contextlib.suppress(TimeoutError):
                    # Looked at now and then besides: the window may have grown.
                    async with asyncio.timeout(_LOOK):
                        await self._freed.wait()
            else:
                self._start(await puller.fetch(free, wait=shared.in_flight.ack_wait / 6))

    def _is_wanted_elsewhere(self) -> bool:
        """True if another provider could send some of the mail that waits here."""
        deps = self._shared.deliver
        return anybody_else(self._provider_id, deps.providers, deps.is_open)

    def _start(self, messages: list[Message]) -> None:
        in_flight = self._shared.in_flight
        for message in messages:
            try:
                attempt, accepted = read_queued(message)
            except NotAnAttempt as error:
                log.error("message %d of the queue is no attempt: %s", message.sequence, error)  # noqa: TRY400 - no bug
                UNREADABLE.inc()
                in_flight.discard(message)
                continue
            index, self._index = self._index, self._index + 1
            held = in_flight.take(message, attempt)
            if held is None:
                continue
            handed = self._handed(message, attempt, index)
            work = Work(attempt, handed, held, accepted, untouched=in_flight.was_untouched(attempt.key))
            WAITED.observe(max(0.0, time.time() - handed.due_at))
            IN_HAND.inc()
            self._in_hand += 1
            held.task = asyncio.create_task(self._deliver(held, work))

    def _handed(self, message: Message, attempt: Attempt, index: int) -> Handed:
        return Handed(
            attempt=attempt.number,
            due_at=attempt.due_at.timestamp(),
            stored_at=message.time,
            num_delivered=message.num_delivered,
            connected_at=self._shared.bus.connected_at,
            index=index,
            window=self.window_of_all,
            counted_since=self._counted_since,
        )

    async def _deliver(self, held: LeasedMessage, work: Work) -> None:
        deps, in_flight = self._shared.deliver, self._shared.in_flight
        try:
            try:
                finished = await deliver_email(deps, work)
            except Exception:
                log.exception("attempt %d of email %s", work.attempt.number, work.attempt.email_id)
                ERRORS.inc()
                finished = await write_off(deps, work, begun=held.dotted)
            if finished.acknowledge:
                await held.acknowledge()
            else:
                in_flight.note_untouched(work.attempt.key)
            FINISHED.labels(str(self._provider_id), finished.event).inc()
            if finished.moved_to is not None:
                REROUTES.labels(str(self._provider_id), str(finished.moved_to), finished.because).inc()
        finally:
            in_flight.drop(held)
            IN_HAND.dec()
            self._in_hand -= 1
            self._freed.set()

    async def _let_go(self) -> None:
        """Ask for nothing more; what has come already is still worked on while the worker drains."""
        puller, self._puller = self._puller, None
        if puller is not None:
            self._start(await puller.leave())


def read_queued(message: Message) -> tuple[Attempt, Envelope | None]:
    """The attempt in a message of the queue, with the accepted fact if that is what it is. Raises NotAnAttempt."""
    provider_id, lane = queue_position(message.subject)
    try:
        if not message.data.startswith(_FACT):
            return scheduled_attempt(orjson.loads(message.data), provider_id=provider_id, lane=lane), None
        sequence = source_sequence(message.headers.get("Nats-Stream-Source", ""))
        fact = decode(message.data, log_subject=message.subject, stream=EVENTS, sequence=sequence)
    except ValueError as error:
        raise NotAnAttempt(str(error)) from error
    return first_attempt(fact, provider_id=provider_id, lane=lane), fact
