"""Has another worker got it? Asked before anything doubtful is sent, and answered from what is in hand here.

A killed NATS hands out again what is in somebody's hands, as if for the first time, and to anybody; the audits of two
workers may both find the same attempt missing. In one process the set of what is in hand notices that; between
processes they have to be asked. Whoever does not answer may still have it, for as long as a lease lasts.
"""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import orjson

from libs.common.facts import Envelope
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import question_subject
from services.sender.cluster.membership import Membership
from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.in_flight import InFlight, Key

log = logging.getLogger(__name__)

HOLDS, ASKS, UNTOUCHED, NO = b"holds", b"asks", b"untouched", b"no"
_AGAIN = 0.5
_PATIENCE = 1.0
_CLOCKS = 2.0


class Find(Protocol):
    """`services.sender.ports.OutcomeLog.find`."""

    async def __call__(self, attempt: Attempt, *, redelivered: bool) -> Envelope | None: ...


@dataclass(frozen=True, slots=True)
class AskingPeers:
    """`services.sender.ports.Peers` over NATS."""

    bus: Bus
    in_flight: InFlight
    membership: Membership
    find: Find

    async def listen(self) -> None:
        """Answer from now on, also after reconnects; waits for the first connection."""
        while True:
            await self.bus.wait_connected()
            try:
                await self.bus.subscribe(question_subject(self.membership.worker_id), self._answer)
            except BusError as error:
                log.info("cannot listen yet: %s", error)
            else:
                return

    async def settle(self, attempt: Attempt, *, begun: bool) -> tuple[Envelope | None, bool]:
        """`services.sender.ports.Peers.settle`."""
        await self.membership.known()
        held = self.in_flight.held.get(attempt.key)
        if held is None or not self.membership.company():
            return None, begun
        # Not reset when this is cancelled: what is in doubt is not handed back as if it were untouched.
        held.asking = True
        while True:
            await self.membership.known()
            company = self.membership.company()
            answers = await asyncio.gather(*(self._ask(each, attempt.key) for each in company))
            # After the answers: who has not got it any more may have written down what came of it just now.
            found = await self.find(attempt, redelivered=True)
            if found is not None:
                break
            begun = begun and UNTOUCHED not in answers
            if all(map(self._yields, company, answers)) and not (begun and self._reconnected_lately()):
                break
            await asyncio.sleep(_AGAIN)
        held.asking = False
        return found, begun

    def _yields(self, worker_id: str, answer: bytes | None) -> bool:
        """True if that worker yields to this one. Of two workers that ask each other, the older one continues."""
        return answer in (NO, UNTOUCHED) or (answer == ASKS and self.membership.worker_id < worker_id)

    def _reconnected_lately(self) -> bool:
        """True if an unknown worker may still be working under a lease from before the reconnect."""
        return time.time() - self.bus.connected_at < self.in_flight.ack_wait + _CLOCKS

    async def _ask(self, worker_id: str, key: Key) -> bytes | None:
        try:
            answer = await self.bus.request(question_subject(worker_id), _written(key), timeout=_PATIENCE)
        except BusError as error:
            log.debug("worker %s does not answer: %s", worker_id, error)
            return None
        return answer.data

    async def _answer(self, raw: Any) -> None:
        try:
            await self.bus.send(raw.reply, holding(self.in_flight, _read(raw.data)))
        except (BusError, ValueError) as error:
            log.info("a question could not be answered: %s", error)


def holding(in_flight: InFlight, key: Key) -> bytes:
    """This worker's answer about an attempt. It answers `UNTOUCHED` once; then the asking worker has the attempt."""
    held = in_flight.held.get(key)
    if held is None:
        return UNTOUCHED if in_flight.was_untouched(key) else NO
    if held.asking:
        return ASKS
    return HOLDS if held.dotted or not held.lapsed else NO


def _written(key: Key) -> bytes:
    return orjson.dumps([str(key[0]), key[1], key[2]])


def _read(data: bytes) -> Key:
    """Raises ValueError."""
    email_id, number, provider_id = orjson.loads(data)
    return UUID(email_id), int(number), int(provider_id)
