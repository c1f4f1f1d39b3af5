"""From a hit to its fact: every way in which that can fail ends in the spool or in a counter."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import orjson
import pytest
from prometheus_client import REGISTRY

from libs.common.errors import UnavailableError
from libs.common.facts import Envelope, uuid7
from libs.common.jetstream.bus import PubAck
from libs.common.jetstream.errors import BusError, NotConnectedError, PublishUnknownError, RefusedError, StreamFullError
from services.tracking.hits.hit_rules import Hit, from_record
from services.tracking.hits.limit_rules import EmailLimit
from services.tracking.hits.record import Recorder
from services.tracking.spool.replay import replay
from tests.support.aio import run

KNOWN = UUID("01920000-0000-7000-8000-0000000000ab")
UNTRACKED = UUID("01920000-0000-7000-8000-0000000000ac")
UNKNOWN = UUID("01920000-0000-7000-8000-0000000000ad")


@dataclass
class FailingLog:
    """Takes facts, or raises what it is told, one error after the other."""

    errors: list[BusError] = field(default_factory=list)
    connected: bool = True
    stored: dict[str, bytes] = field(default_factory=dict)
    asked: int = 0
    hangs: bool = False

    async def publish(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout: float = 2.0
    ) -> PubAck:
        del subject, timeout
        self.asked += 1
        await (asyncio.Event().wait() if self.hangs else asyncio.sleep(0))
        if self.errors:
            raise self.errors.pop(0)
        assert headers is not None
        self.stored[headers["Nats-Msg-Id"]] = payload
        return PubAck("MAIL_TRACKING", len(self.stored), duplicate=False)


@dataclass
class FixedEmails:
    """Two emails that are always found, until the log is away."""

    away: bool = False

    def cached(self, email_id: UUID) -> Envelope | None:
        del email_id
        return None

    async def get(self, email_id: UUID) -> Envelope | None:
        if self.away:
            raise UnavailableError("away")
        if email_id == UNKNOWN:
            return None
        data = {"pixel": email_id == KNOWN, "links": ["https://example.com"]}
        return Envelope("cause", "test", "email.accepted.v1", f"email/{email_id}", "", data)


@dataclass
class ListSpool:
    """Records in memory."""

    room: int = 1_000
    files: dict[Path, list[bytes]] = field(default_factory=dict)

    @property
    def hits(self) -> list[Hit]:
        return [from_record(orjson.loads(record)) for records in self.files.values() for record in records]

    def append(self, record: bytes) -> bool:
        if len(self.hits) >= self.room:
            return False
        self.files.setdefault(Path("one"), []).append(record)
        return True

    async def sync(self) -> None:
        return None

    def oldest(self) -> Path | None:
        return next(iter(self.files), None)

    def records(self, path: Path) -> Iterator[bytes]:
        yield from self.files[path]

    def remove(self, path: Path) -> None:
        del self.files[path]


def hit(email_id: UUID = KNOWN, link_index: int | None = None) -> Hit:
    return Hit(str(uuid7()), email_id, link_index, "203.0.113.7", "a", False, None, 1.0, "r")  # noqa: FBT003


def counted(outcome: str, kind: str = "open") -> float:
    return REGISTRY.get_sample_value("temps_hits_total", {"kind": kind, "outcome": outcome}) or 0.0


async def recorded(recorder: Recorder, hits: list[Hit]) -> None:
    running = asyncio.create_task(recorder.run())
    for each in hits:
        recorder.take(each)
    await recorder.drain()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_a_hit_becomes_a_fact_under_its_own_id() -> None:
    bus, spool = FailingLog(), ListSpool()
    hits = [hit(), hit(link_index=0)]
    run(recorded(Recorder(bus, FixedEmails(), spool, EmailLimit()), hits))
    assert list(bus.stored) == [each.fact_id for each in hits]
    assert spool.hits == []


@pytest.mark.parametrize(
    "error",
    [NotConnectedError("x"), PublishUnknownError("x"), StreamFullError(503, 10077, "full"), RefusedError(400, 1, "no")],
)
def test_what_cannot_be_published_is_spooled_as_it_is(error: BusError) -> None:
    bus, spool, one = FailingLog([error]), ListSpool(), hit()
    run(recorded(Recorder(bus, FixedEmails(), spool, EmailLimit()), [one]))
    assert (bus.stored, spool.hits) == ({}, [one])


def test_without_a_connection_hits_go_straight_to_the_spool_unverified() -> None:
    bus, spool = FailingLog(connected=False), ListSpool()
    hits = [hit(UNKNOWN), hit()]
    run(recorded(Recorder(bus, FixedEmails(away=True), spool, EmailLimit()), hits))
    assert (bus.asked, spool.hits) == (0, hits)


def test_a_log_that_cannot_be_read_spools_too() -> None:
    bus, spool, one = FailingLog(), ListSpool(), hit()
    run(recorded(Recorder(bus, FixedEmails(away=True), spool, EmailLimit()), [one]))
    assert (bus.asked, spool.hits) == (0, [one])


def test_a_full_queue_spools_the_rest_and_a_full_spool_counts_them() -> None:
    async def main() -> None:
        bus, spool = FailingLog(), ListSpool(room=3)
        recorder = Recorder(bus, FixedEmails(), spool, EmailLimit(), queue=5)
        hits = [hit() for _ in range(10)]
        spooled, lost = counted("spooled"), counted("lost")
        for each in hits:
            recorder.take(each)
        assert spool.hits == hits[5:8]
        assert (counted("spooled") - spooled, counted("lost") - lost) == (3, 2)
        await recorded(recorder, [])
        assert list(bus.stored) == [each.fact_id for each in hits[:5]]

    run(main())


def test_unknown_untracked_and_too_many_are_only_counted() -> None:
    bus, spool = FailingLog(), ListSpool()
    before = {outcome: counted(outcome) for outcome in ("unknown", "untracked", "limited", "recorded")}
    hits = [hit(UNKNOWN), hit(UNTRACKED), hit(), hit(), hit()]
    run(recorded(Recorder(bus, FixedEmails(), spool, EmailLimit(per_email=2)), hits))
    assert len(bus.stored) == 2
    assert spool.hits == []
    assert {outcome: counted(outcome) - count for outcome, count in before.items()} == {
        "unknown": 1,
        "untracked": 1,
        "limited": 1,
        "recorded": 2,
    }


def test_a_spooled_hit_does_not_count_against_its_email_twice() -> None:
    async def main() -> None:
        bus, spool = FailingLog([PublishUnknownError("x")]), ListSpool()
        recorder = Recorder(bus, FixedEmails(), spool, EmailLimit(per_email=1))
        one = hit()
        await recorded(recorder, [one])
        await replayed(bus, spool, recorder)
        assert list(bus.stored) == [one.fact_id]

    run(main())


async def replayed(bus: FailingLog, spool: ListSpool, recorder: Recorder) -> None:
    running = asyncio.create_task(replay(bus, spool, recorder))
    while spool.files:
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_a_replay_repeats_until_all_is_stored_and_skips_what_is_refused_for_good() -> None:
    async def main() -> None:
        bus, spool = FailingLog(connected=False), ListSpool()
        recorder = Recorder(bus, FixedEmails(), spool, EmailLimit())
        hits = [hit(), hit(UNKNOWN), hit(), hit(link_index=0), hit()]
        for each in hits:
            recorder.take(each)
        spool.append(b'{"v":1}')
        bus.connected = True
        bus.errors = [NotConnectedError("x"), StreamFullError(503, 10077, "full"), RefusedError(400, 1, "no")]
        refused = counted("refused", "click")
        await replayed(bus, spool, recorder)
        assert set(bus.stored) == {hits[0].fact_id, hits[2].fact_id, hits[4].fact_id}
        assert counted("refused", "click") - refused == 1

    run(main())


def test_what_is_in_hand_when_the_end_comes_is_spooled() -> None:
    async def main() -> None:
        bus, spool = FailingLog(hangs=True), ListSpool()
        recorder = Recorder(bus, FixedEmails(), spool, EmailLimit())
        hits = [hit() for _ in range(200)]
        running = asyncio.create_task(recorder.run())
        for each in hits:
            recorder.take(each)
        while bus.asked < 128:
            await asyncio.sleep(0)
        await recorder.drain(0.01)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert {each.fact_id for each in spool.hits} == {each.fact_id for each in hits}

    run(main())
