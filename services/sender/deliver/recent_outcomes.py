"""The outcomes of the last minutes in memory: most questions *has it been done?* need no read of the log."""

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from libs.common.facts import Envelope
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.email_log import scan_facts
from libs.common.jetstream.streams import EVENTS
from services.sender.deliver.outcome_rules import ENDS, ended_at

SECONDS = 15 * 60
READ_AT_MOST = 200_000
"""Messages of the log that are looked through at start, however busy the last minutes were."""
KEEP_AT_MOST = 100_000
"""About 50 MB; what is older is read from the log."""
_MARGIN = 5.0

Key = tuple[UUID, int, int]


class RecentOutcomes:
    """Where in the log an attempt's outcome is, for attempts that became due after `complete_since`."""

    def __init__(self, *, keep: int = KEEP_AT_MOST) -> None:
        """Nothing is known before `load`."""
        self.complete_since = float("inf")
        self._forgotten = 0.0
        """When the youngest outcome was written that had to make room."""
        self._keep = keep
        self.company_at: Callable[[], float] = lambda: 0.0
        """The last time (Unix seconds) at which another worker may have been there, whose outcomes are not here."""
        self._known: OrderedDict[Key, tuple[int, float]] = OrderedDict()

    async def load(self, bus: Bus) -> None:
        """Read the last minutes' outcomes in one pass. Raises BusError."""
        now = time.time()
        state = await bus.stream_state(EVENTS)
        since, start = now - SECONDS, max(1, state.last_sequence - READ_AT_MOST)
        first = True
        complete_since = since
        async for message in bus.direct_batch(EVENTS, "mail.email.*.*", start_sequence=start, batch=1_000):
            if first and start > 1:
                complete_since = max(since, message.time)
            first = False
            event = message.subject.rpartition(".")[2]
            if message.time >= since and event in ENDS:
                self._add(event, orjson.loads(message.data)["data"], message.sequence, message.time)
        self.complete_since = min(self.complete_since, complete_since)

    def remember(self, stored: Envelope) -> None:
        """One of our own has been written."""
        self._add(stored.name.partition(".")[2], stored.data, stored.sequence, stored.at.timestamp())

    def knows_of(self, due_at: float) -> bool:
        """True if the outcome of an attempt due then would be in this cache."""
        return due_at > max(self.complete_since, self._forgotten, self.company_at()) + _MARGIN

    def sequence_of(self, key: Key) -> int | None:
        """Where the attempt's outcome is."""
        known = self._known.get(key)
        return known[0] if known is not None else None

    def _add(self, event: str, data: dict[str, Any], sequence: int, at: float) -> None:
        provider_id = ended_at(event, data)
        if provider_id is None:
            return
        self._known[UUID(data["email_id"]), int(data["attempt"]), provider_id] = (sequence, at)
        while len(self._known) > self._keep:
            _, (_, oldest) = self._known.popitem(last=False)
            self._forgotten = max(self._forgotten, oldest)


async def read_outcome(bus: Bus, key: Key, due_at: datetime) -> Envelope | None:
    """The outcome of an attempt, or that it was rerouted, from the log; stops at the first hit. Raises BusError."""
    email_id, number, provider_id = key
    # One token after the shard leaves the accepted facts out, which have more.
    async with aclosing(scan_facts(bus, email_id, events="*", since=due_at, batch=128)) as facts:
        async for fact in facts:
            event = fact.name.partition(".")[2]
            if event in ENDS and fact.data.get("attempt") == number and ended_at(event, fact.data) == provider_id:
                return fact
    return None
