"""Open pixels per second, each a fact on disk, through one tracking process; and what such a process could publish."""

import asyncio
import base64
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from deploy.local.ports import free_port
from deploy.local.servers import running_nats
from libs.common.facts import uuid7
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.streams import TRACKING
from libs.common.web.principal import HEADER, Principal, sign
from services.tracking.hits.hit_rules import Hit, fact_of
from tests.bench.load import load
from tests.integration.tracking.service import LINKS, accept

HITS = 20_000
EMAILS = 100
IN_FLIGHT = 128
KEY = b"b" * 32


def run() -> list[tuple[str, str, str]]:
    """Figures with their ceilings."""
    with TemporaryDirectory() as directory, running_nats(Path(directory) / "nats", sync="always") as nats:
        return asyncio.run(_measure(Path(directory), nats.url))


async def _measure(directory: Path, nats_url: str) -> list[tuple[str, str, str]]:
    bus = Bus(nats_url, name="bench")
    await bus.start()
    await bus.wait_connected(5)
    await bootstrap(bus)
    emails = [await accept(bus) for _ in range(EMAILS)]
    ceiling = await _publishing(bus, emails)
    (directory / "principal.key").write_text(base64.b64encode(KEY).decode())
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (directory / "tracking.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220 - it starts once, before anything is measured
            [sys.executable, "-m", "services.tracking"],
            env=os.environ
            | {
                "TEMPS_NATS_URL": nats_url,
                "TEMPS_HTTP_PORT": str(port),
                "TEMPS_PRINCIPAL_KEY_FILE": str(directory / "principal.key"),
                "TEMPS_SPOOL_DIR": str(directory / "spool"),
            },
            stderr=log,
        )
    try:
        await asyncio.to_thread(_ready, url)
        stored, answered, p99 = await _hits(bus, url, emails)
        cpu = _cpu_seconds(process.pid)
    finally:
        process.terminate()
        process.wait(15)
    await bus.close()
    figure = f"{stored:,.0f}/s ({cpu / HITS * 1e6:,.0f} µs CPU each)"
    return [
        ("open pixels, durable, one tracking process", figure, f"{ceiling:,.0f}/s published, {IN_FLIGHT} in flight"),
        ("open pixels, answered", f"{answered:,.0f}/s, p99 {p99 * 1e3:.1f} ms", "-"),
    ]


async def _publishing(bus: Bus, emails: list[UUID]) -> float:
    """The same facts from one process that does nothing else."""
    left = iter(range(HITS // 2))

    async def one() -> None:
        for number in left:
            hit = Hit(str(uuid7()), emails[number % EMAILS], None, "127.0.0.1", "bench", False, None, time.time(), None)  # noqa: FBT003
            fact = fact_of(hit, {"pixel": True, "links": LINKS}, "cause")
            await bus.publish(fact.log_subject, fact.encode(), headers={"Nats-Msg-Id": fact.id})

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    return HITS // 2 / (time.perf_counter() - began)


async def _hits(bus: Bus, url: str, emails: list[UUID]) -> tuple[float, float, float]:
    visitor = Principal("anonymous", "anonymous", None, frozenset(), "127.0.0.1", "bench", time.time() + 60)
    before = (await bus.stream_state(TRACKING)).messages
    began = time.perf_counter()
    result = await load(
        url,
        path=lambda number: f"/api/emails/{emails[number % EMAILS]}/track/open",
        headers={HEADER: sign(visitor, KEY)},
        count=HITS,
    )
    async with asyncio.timeout(60):
        while (await bus.stream_state(TRACKING)).messages - before < HITS:
            await asyncio.sleep(0.02)
    return HITS / (time.perf_counter() - began), result.rate, result.p99


def _ready(url: str) -> None:
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=1):
                return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError("the tracking service is not ready")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
