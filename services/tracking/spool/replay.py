"""Spooled hits back into the log, in order, as soon as it can take them; the same facts as they would have been."""

import asyncio
import logging
from collections.abc import Iterator
from itertools import islice

import orjson

from libs.common.errors import UnavailableError
from libs.common.facts import Envelope
from libs.common.jetstream.errors import BusError, RefusedError, StreamFullError
from services.tracking.hits.counters import count
from services.tracking.hits.hit_rules import Hit, from_record
from services.tracking.hits.record import Recorder
from services.tracking.ports import Keep, Log

log = logging.getLogger(__name__)

_CHUNK = 64
_PAUSE = 0.25


async def replay(bus: Log, spool: Keep, recorder: Recorder) -> None:
    """For ever: whatever is in the spool, oldest first."""
    while True:
        path = spool.oldest() if bus.connected else None
        if path is None:
            await asyncio.sleep(_PAUSE)
            continue
        replayed = 0
        records = spool.records(path)
        while chunk := list(islice(records, _CHUNK)):
            facts = [fact for hit in _hits(chunk) if (fact := await _fact(recorder, hit)) is not None]
            replayed += len(facts)
            await _publish_all(recorder, facts)
        spool.remove(path)
        log.info("replayed %d hits from %s", replayed, path.name)


async def _fact(recorder: Recorder, hit: Hit) -> Envelope | None:
    while True:
        try:
            return await recorder.fact(hit)
        except UnavailableError:
            await asyncio.sleep(_PAUSE)


async def _publish_all(recorder: Recorder, facts: list[Envelope]) -> None:
    """Publish until each is stored; they leave in order, and a repeat is dropped by its id."""
    left = facts
    while left:
        outcomes = await asyncio.gather(*(recorder.publish(fact) for fact in left), return_exceptions=True)
        again: list[Envelope] = []
        for fact, outcome in zip(left, outcomes, strict=True):
            link_index = fact.data.get("link_index")
            if not isinstance(outcome, BaseException):
                count(link_index, "recorded")
            elif isinstance(outcome, RefusedError) and not isinstance(outcome, StreamFullError):
                # Asking again will not change that answer, and those behind it shall not wait for ever.
                log.error("a hit was refused for good: %s", outcome)
                count(link_index, "refused")
            elif isinstance(outcome, BusError):
                again.append(fact)
            else:
                raise outcome
        left = again
        if left:
            await asyncio.sleep(_PAUSE)


def _hits(chunk: list[bytes]) -> Iterator[Hit]:
    for record in chunk:
        try:
            yield from_record(orjson.loads(record))
        except (KeyError, TypeError, ValueError) as error:
            log.error("a spooled record is not readable: %r", error)  # noqa: TRY400 - the text says it all
