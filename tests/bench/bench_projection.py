"""Projected facts per second through all read models, and the time of a rebuild, beside what reading alone allows."""

import asyncio
import gc
import itertools
import os
import random
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop

from deploy.local import postgres
from deploy.local.servers import running_nats, running_postgres
from libs.common.facts import Envelope, decode, timestamp, uuid7
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.streams import EVENTS, LOG, TRACKING
from libs.common.jetstream.views import read_in_order
from services.analytics.projector import Projector, ReadModel, rebuild
from tests.support.projecting import log_at, publish

EMAILS = int(os.environ.get("TEMPS_BENCH_EMAILS", "25000"))
MILLION = 1_000_000
Figure = tuple[str, str, str]

_BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)
_AGENTS = ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)")


def emails(count: int, seed: int = 1) -> Iterator[Envelope]:
    """Four facts for an email on average: accepted, sent, half of them delivered, some opens and clicks."""
    chance = random.Random(seed)  # noqa: S311 - the same load each time
    for number in range(count):
        at = _BEGINNING + timedelta(seconds=number / 10)
        email = uuid7(int(at.timestamp() * 1000))
        yield from _email(str(email), at, number, chance)


def _email(email: str, at: datetime, number: int, chance: random.Random) -> Iterator[Envelope]:
    shard = email[-2:]
    address = f"person{number % 5000}@example{number % 50}.org"
    seconds = itertools.count(1)

    def envelope(event: str, subject: str, data: dict[str, Any]) -> Envelope:
        moment = at + timedelta(seconds=next(seconds))
        return Envelope(
            id=str(uuid7(int(moment.timestamp() * 1000))),
            source="/services/bench",
            type=f"email.{event}.v1",
            subject=f"email/{email}",
            time=timestamp(moment),
            data={"email_id": email, **data},
            actor={"id": "key/1", "kind": "key", "user_id": 1, "ip": "127.0.0.1", "user_agent": "bench"},
            correlationid=str(uuid7()),
            log_subject=subject,
        )

    provider = 1 + number % 3
    yield envelope("accepted", f"mail.email.{shard}.accepted.{provider}.normal", _accepted(email, address, number))
    attempt = {"attempt": 1, "provider_id": provider, "next_at": None, "reason": None, "duration_ms": 40}
    outcome = {"address": address, "smtp_code": 250, "enhanced_status": "2.0.0", "text": "2.0.0 Ok: queued as 4XyZ"}
    sent = {"recipients": [{**outcome, "outcome": "accepted"}], "provider_message_id": None, "captured": False}
    if number % 40 == 0:
        refused = {**outcome, "outcome": "bounced", "smtp_code": 550, "enhanced_status": "5.1.1"}
        bounced = {**attempt, "recipients": [refused], "origin": "session"}
        yield envelope("bounced", f"mail.email.{shard}.bounced", bounced)
        return
    yield envelope("sent", f"mail.email.{shard}.sent", {**attempt, **sent})
    if number % 2:
        report = {"provider_id": provider, "recipients": [address], "detail": None}
        yield envelope("delivered", f"mail.email.{shard}.delivered", report)
    hit = {"ip_address": "203.0.113.9", "user_agent": chance.choice(_AGENTS), "machine": False, "machine_reason": None}
    for _ in range(chance.choice((0, 0, 1, 1, 2, 3))):
        yield envelope("opened", f"track.{shard}.opened", hit)
    if number % 4 == 0:
        yield envelope(
            "clicked", f"track.{shard}.clicked", {**hit, "link_index": 0, "link_url": "https://example.org/a"}
        )


def _accepted(email: str, address: str, number: int) -> dict[str, Any]:
    return {
        "provider_id": 1 + number % 3,
        "domain_id": 1 + number % 5,
        "route": {"reason": "domain", "domain_id": 1 + number % 5, "detail": None},
        "from_address": f"news@shop{number % 5}.example",
        "from_name": "The Shop",
        "recipients": [{"address": address, "name": "A Person", "kind": "to"}],
        "reply_to": [],
        "subject": f"Your order {number}",
        "tags": [{"name": "campaign", "value": f"c{number % 20}"}, {"name": "welcome", "value": None}],
        "metadata": {"order": str(number)},
        "message_id": f"<{email}@shop{number % 5}.example>",
        "content": {"sequence": number + 1, "sha256": "0" * 64, "size": 2048, "expires_at": "2026-03-01T00:00:00Z"},
        "has_html": True,
        "has_text": True,
        "track_opens": True,
        "track_clicks": True,
        "pixel": True,
        "links": ["https://example.org/a", "https://example.org/b"],
        "rewriter_version": 1,
        "run": "normal",
    }


def run(models: Sequence[ReadModel] | None = None) -> list[Figure]:
    """(name, figure, ceiling) of each."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="temps-bench-")))
        nats = stack.enter_context(running_nats(folder / "nats"))
        # As `make up` runs it: the log's copy waits for the disk.
        disk = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
        server = stack.enter_context(running_postgres(folder / "postgres", disk))
        urls = (server.url(postgres.ANALYTICS, postgres.DATABASE), server.url(postgres.OWNER, postgres.DATABASE))
        return uvloop.run(_measure(nats.url, *urls, models or all_models()))


def all_models() -> tuple[ReadModel, ...]:
    """What the analytics service projects."""
    from services.analytics.__main__ import MODELS  # noqa: PLC0415 - a composition root is imported by nobody else

    return tuple(MODELS)


async def _measure(nats: str, url: str, owner_url: str, models: Sequence[ReadModel]) -> list[Figure]:
    async with log_at(nats) as bus:
        facts = list(emails(EMAILS))
        await publish(nats, facts)
        count = len(facts)
        del facts
        gc.collect()
        reading = await _read(bus)
        projector = Projector(bus, postgres_url=url, owner_url=owner_url, models=models)
        began = time.perf_counter()
        task = asyncio.create_task(projector.run())
        for stream in LOG:
            last = (await bus.stream_state(stream)).last_sequence
            if not await projector.wait_for(stream, last, 300):
                raise RuntimeError(f"{stream} was not projected: {projector.waiting_for()} {projector.degraded()}")
        projected = count / (time.perf_counter() - began)
        outcome = await rebuild(bus, owner_url=owner_url, postgres_url=url, models=models)
        task.cancel()
        await asyncio.wait([task])
    rebuilt = count / outcome.filled_in
    ceiling = f"{reading:,.0f}/s reading and decoding alone"
    return [
        (f"projected facts/s, {len(models)} read models, {count:,} facts", f"{projected:,.0f}/s", ceiling),
        ("rebuild of 1 million facts", f"{MILLION / rebuilt:,.0f} s", f"{MILLION / reading:,.0f} s reading alone"),
    ]


async def _read(bus: Bus) -> float:
    began, count = time.perf_counter(), 0
    for stream in (EVENTS, TRACKING):
        last = (await bus.stream_state(stream)).last_sequence
        reader = read_in_order(bus, stream, filters=[">"], start_sequence=1)
        while reader.next_sequence <= last:
            messages = await reader.batch(500, 1.0)
            await reader.prefetch(500, 1.0)
            for message in messages:
                decode(message.data, log_subject=message.subject, stream=stream, sequence=message.sequence)
            count += len(messages)
        await reader.close()
    return count / (time.perf_counter() - began)
