"""One email's facts, straight from the log: for click targets, redelivery checks and read-your-write.

A batched direct get by the email's shard from the time in its UUIDv7 on, filtered by id: no index, no database.
"""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from uuid import UUID

from libs.common.errors import UnavailableError
from libs.common.facts import Envelope, decode, uuid7_time
from libs.common.facts.email import shard_of
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import EVENTS

_BEFORE = timedelta(seconds=2)
"""Clocks of the id's maker and of the log may differ by this much."""
_COMMIT_WITHIN = timedelta(seconds=120)
"""An accepted fact is in the log at most this long after its id was made."""
_MISS_SECONDS = 5.0
_HITS = 50_000
_HIT_BYTES = 128 * 2**20
"""Bytes that all cached emails may take together; one may have thousands of links."""


async def scan_facts(
    bus: Bus,
    email_id: UUID,
    *,
    events: str = ">",
    since: datetime | int | None = None,
    until: datetime | None = None,
    stream: str = EVENTS,
    batch: int = 256,
) -> AsyncGenerator[Envelope, None]:
    """The facts of an email in log order, one by one; close it (`aclosing`) when you have seen enough.

    `events` narrows the subject (`accepted.>`), `since` is a time or a sequence (default: the id's own time less two
    seconds, for other versions the beginning), `until` ends the read. Raises BusError when the log cannot be read.
    """
    prefix = "mail.email" if stream == EVENTS else "track"
    subject = f"{prefix}.{shard_of(email_id)}.{events}"
    start_time = since.astimezone(UTC) if isinstance(since, datetime) else None
    start_sequence = since if isinstance(since, int) else None
    if since is None and (made := uuid7_time(email_id)) is not None:
        start_time = datetime.fromtimestamp(made, UTC) - _BEFORE
    end = until.timestamp() if until is not None else None
    wanted, needle = f"email/{email_id}", str(email_id).encode()
    reading = bus.direct_batch(stream, subject, start_sequence=start_sequence, start_time=start_time, batch=batch)
    async with aclosing(reading) as messages:
        async for message in messages:
            if end is not None and message.time > end:
                return
            # Other emails share the subject: most are passed over without being decoded.
            if needle not in message.data:
                continue
            envelope = decode(message.data, log_subject=message.subject, stream=stream, sequence=message.sequence)
            if envelope.subject == wanted:
                yield envelope


async def facts_of(
    bus: Bus,
    email_id: UUID,
    *,
    events: str = ">",
    since: datetime | int | None = None,
    until: datetime | None = None,
    stream: str = EVENTS,
) -> list[Envelope]:
    """All facts that `scan_facts` finds."""
    scan = scan_facts(bus, email_id, events=events, since=since, until=until, stream=stream)
    return [envelope async for envelope in scan]


class AcceptedLookup:
    """The fact that began an email, by id, remembered: hits in an LRU, misses for five seconds."""

    def __init__(self, bus: Bus, *, hits: int = _HITS, hit_bytes: int = _HIT_BYTES) -> None:
        """`hits` (one entry is one fact) and `hit_bytes` (about) bound the memory; the newest hit always has room."""
        self._bus, self._limit, self._most_bytes, self._bytes = bus, hits, hit_bytes, 0
        self._hits: OrderedDict[UUID, Envelope] = OrderedDict()
        self._misses: OrderedDict[UUID, float] = OrderedDict()

    def cached(self, email_id: UUID) -> Envelope | None:
        """The cached facts, without a read."""
        envelope = self._hits.get(email_id)
        if envelope is not None:
            self._hits.move_to_end(email_id)
        return envelope

    async def get(self, email_id: UUID) -> Envelope | None:
        """The accepted or captured fact, or None for an unknown id. Raises UnavailableError when NATS is away."""
        envelope = self.cached(email_id)
        if envelope is not None:
            return envelope
        made = uuid7_time(email_id)
        if made is None or made > time.time() + _BEFORE.total_seconds():
            return None
        if self._misses.get(email_id, 0.0) > time.monotonic():
            return None
        until = datetime.fromtimestamp(made, UTC) + _COMMIT_WITHIN
        try:
            for events in ("accepted.>", "captured"):
                for envelope in await facts_of(self._bus, email_id, events=events, until=until):
                    self._remember(email_id, envelope)
                    return envelope
        except BusError as error:
            raise UnavailableError("the log cannot be read") from error
        self._misses[email_id] = time.monotonic() + _MISS_SECONDS
        while len(self._misses) > self._limit:
            self._misses.popitem(last=False)
        return None

    def _remember(self, email_id: UUID, envelope: Envelope) -> None:
        if (known := self._hits.pop(email_id, None)) is not None:
            self._bytes -= _weight(known)
        self._hits[email_id] = envelope
        self._bytes += _weight(envelope)
        while len(self._hits) > self._limit or (self._bytes > self._most_bytes and len(self._hits) > 1):
            _, oldest = self._hits.popitem(last=False)
            self._bytes -= _weight(oldest)


def _weight(envelope: Envelope) -> int:
    """About the bytes of a fact in memory (measured: 4 KB, and 60 bytes with each string)."""
    data = envelope.data
    texts = [*data.get("links", ()), *data.get("metadata", {}).values()]
    return 4_096 + 512 * len(data.get("recipients", ())) + sum(map(len, texts)) + 60 * len(texts)
