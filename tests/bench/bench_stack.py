"""The whole way on a running stack: accepted, delivered and projected per second, sync always, five services.

Ceilings of the same run: JetStream publishes of the same size from one process, one by one and 128 in flight, and the
raw relay hand-over. The load generator shares the machine.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvloop

from deploy.local import proc
from libs.common.facts import uuid7
from libs.common.jetstream.bus import Bus
from tests.bench.load import LoadResult, load
from tests.e2e.client import Api, until
from tests.e2e.stack import Stack, running

CONNECTIONS = 32
SECONDS = 8.0
DRAIN = 4_000
PUBLISHES = 4_000
HTML = "<html><body>" + "<p>Some words of an ordinary length for a paragraph.</p>" * 40 + "</body></html>"


def run() -> list[tuple[str, str, str]]:
    """The rows of this bench."""
    with (
        tempfile.TemporaryDirectory() as directory,
        running(Path(directory) / "home") as stack,
        _sink() as (port, count),
    ):
        api = Api(stack.url, stack.key)
        memory = sum(_pss(part["pid"]) for part in stack.parts().values() if part["pid"])
        # The first provider of one's own becomes the default: all mail of this bench goes to the sink.
        smtp = {"host": "127.0.0.1", "port": port, "encryption": "none"}
        api.post(
            "/api/email-providers",
            {"name": "Sink", "provider_type": "smtp", "smtp_credentials": smtp, "max_connections": 20},
        )
        singly, together = uvloop.run(_publish_ceilings(stack))
        raw = f"JetStream publishes: {singly:,.0f}/s one by one, {together:,.0f}/s at 128 in flight"
        alone, _ = _accept_alone(stack, api)
        accepted, cpu = _accept(stack)
        whole, each = _whole_way(stack, api)
        drained = _drain(stack, api, count)
        pixels = _pixels(stack, api)
    return [
        ("POST /api/emails, durable, worker and analytics held", str(alone), raw),
        ("POST /api/emails, durable, delivering and projecting", str(accepted), "the same two cores do all of it"),
        ("  CPU of gateway, sender, nats per email", cpu, "300, 780, 230 us in the prototype"),
        ("the whole way, sustained (delivered and projected)", f"{whole:,.0f}/s", f"CPU per email: {each}"),
        ("delivered by one worker to a sink, facts included", f"{drained:,.0f}/s", "see relay hand-over"),
        ("open pixel through the gateway, recorded", str(pixels), raw),
        ("memory of the whole stack, idle (PSS)", f"{memory / 1024:,.0f} MB", "600 MB wanted"),
    ]


def _body(number: int) -> bytes:
    return json.dumps(
        {
            "from": "Shop <hello@shop.example>",
            "to": f"r{number}@example.com",
            "subject": f"Receipt {number}",
            "html": HTML,
            "text": "Thank you. " * 60,
        }
    ).encode()


def _post(stack: Stack, **bounds: Any) -> LoadResult:
    headers = {"Authorization": f"Bearer {stack.key}", "Content-Type": "application/json"}
    return uvloop.run(
        load(
            f"{stack.url}/api/emails",
            method="POST",
            body=_body,
            headers=headers,
            connections=CONNECTIONS,
            **bounds,
        )
    )


def _accept(stack: Stack) -> tuple[LoadResult, str]:
    """Accepting with delivery and projection running, and what it cost each process."""
    _post(stack, seconds=2.0)
    names = ("gateway", "sender", "nats")
    before = {name: _cpu(stack.pid(name)) for name in names}
    result = _post(stack, seconds=SECONDS)
    assert set(result.statuses) == {201}, result
    each = [(_cpu(stack.pid(name)) - before[name]) / result.requests * 1e6 for name in names]
    return result, ", ".join(f"{micros:.0f}" for micros in each) + " us"


def _accept_alone(stack: Stack, api: Api) -> tuple[LoadResult, str]:
    """Accepting while nothing else is done; the backlog is worked off afterwards."""
    stack.hold("worker")
    stack.hold("analytics")
    result = _accept(stack)
    stack.release("analytics")
    stack.release("worker")
    _wait_idle(api)
    return result


def _whole_way(stack: Stack, api: Api) -> tuple[float, str]:
    """Emails per second from the first post until the last is delivered and projected, and what each one cost."""
    _wait_idle(api)
    names = ("gateway", "sender", "worker", "analytics", "postgres", "nats")
    before = {name: _cpu_tree(stack, name) for name in names}
    total = api.get("/api/emails/stats")["total"]
    began = time.perf_counter()
    accepted = _post(stack, count=DRAIN).requests
    until(
        lambda: api.get("/api/emails/stats"),
        lambda stats: stats["queued"] == 0 and stats["total"] >= total + accepted,
        seconds=120,
    )
    rate = accepted / (time.perf_counter() - began)
    micros = {name: (_cpu_tree(stack, name) - before[name]) / accepted * 1e6 for name in names}
    return rate, ", ".join(f"{name} {cost:.0f}" for name, cost in micros.items()) + " us"


def _drain(stack: Stack, api: Api, count: Callable[[], Any]) -> float:
    """One worker against a sink of its own process: a backlog of emails, from the worker's first to the last."""
    _wait_idle(api)
    stack.hold("worker")
    accepted = _post(stack, count=DRAIN).requests
    before, sent = count()["messages"], api.get("/api/emails/stats")["sent"]
    stack.release("worker")
    until(count, lambda seen: seen["messages"] > before, seconds=20, pause=0.005)
    began = time.perf_counter()
    first: int = count()["messages"]
    until(count, lambda seen: seen["messages"] >= before + accepted, seconds=120, pause=0.02)
    rate: float = (before + accepted - first) / (time.perf_counter() - began)
    until(lambda: api.get("/api/emails/stats")["sent"], lambda now: now >= sent + accepted, seconds=60)
    return rate


def _pixels(stack: Stack, api: Api) -> LoadResult:
    """Opens of one hundred emails, through the gateway."""
    _wait_idle(api)
    ids = [
        api.post(
            "/api/emails",
            {"from": "a@shop.example", "to": "b@example.com", "subject": "x", "html": "<p>x</p>", "track_opens": True},
        )["id"]
        for _ in range(100)
    ]
    return uvloop.run(
        load(
            stack.url,
            path=lambda number: f"/api/emails/{ids[number % 100]}/track/open",
            connections=CONNECTIONS,
            seconds=SECONDS / 2,
        )
    )


@contextmanager
def _sink() -> Iterator[tuple[int, Any]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    stdin, stdout = process.stdin, process.stdout

    def count() -> Any:
        stdin.write("\n")
        stdin.flush()
        return json.loads(stdout.readline())

    try:
        yield json.loads(stdout.readline())["port"], count
    finally:
        stdin.close()
        process.wait(10)


def _wait_idle(api: Api) -> None:
    until(lambda: api.get("/api/emails/stats"), lambda stats: stats["queued"] == 0, seconds=180, pause=0.2)


async def _publish_ceilings(stack: Stack) -> tuple[float, float]:
    bus = Bus(stack.nats_url, name="bench")
    await bus.start()
    assert await bus.wait_connected(5)
    await bus.api("STREAM.CREATE.BENCH", {"name": "BENCH", "subjects": ["bench.>"], "storage": "file"})
    payload, send_gate = b"x" * 1_000, asyncio.Semaphore(128)

    async def one() -> None:
        async with send_gate:
            await bus.publish("bench.x", payload, headers={"Nats-Msg-Id": uuid7().hex}, timeout=10)

    began = time.perf_counter()
    for _ in range(PUBLISHES // 4):
        await one()
    singly = PUBLISHES / 4 / (time.perf_counter() - began)
    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(PUBLISHES)))
    together = PUBLISHES / (time.perf_counter() - began)
    await bus.api("STREAM.DELETE.BENCH")
    await bus.close()
    return singly, together


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def _cpu_tree(stack: Stack, name: str) -> float:
    return sum(_cpu(pid) for pid in proc.tree(stack.pid(name)))


def _pss(pid: int) -> int:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
