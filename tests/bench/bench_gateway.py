"""What the gateway costs per request, beside the same service asked directly.

The service is the smallest there can be (raw ASGI, answers at once), so that what is measured is the gateway: its
processor time per proxied request (kernel included), and requests per second against the service's own.
"""

import asyncio
import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import uvloop

from deploy.local.servers import running_nats
from libs.common import apikey
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from tests.bench.load import LoadResult, load

COUNT = int(os.environ.get("TEMPS_BENCH_REQUESTS", "10000"))
WARM = 1_000
CONNECTIONS = 32
MEGABYTE = 2**20
Figure = tuple[str, str, str]

ANSWER = json.dumps(
    {
        "id": "01890000-0000-7000-8000-000000000000",
        "status": "queued",
        "provider_message_id": None,
        "provider_id": 1,
        "suppressed": [],
    }
).encode()
BODY = json.dumps({"from": "a@b.example", "to": "x@y.example", "subject": "s", "html": "<p>x</p>" * 120}).encode()
_HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-length", str(len(ANSWER)).encode()),
    (b"temps-position", b"email=12"),
    (b"x-request-id", b"01890000-0000-7000-8000-000000000000"),
]


async def answers_at_once(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
    """The ceiling: uvicorn with an application that does nothing."""
    del scope
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 201, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": ANSWER})


def run() -> list[Figure]:
    """The figures of the gateway."""
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        nats = exits.enter_context(running_nats(folder / "nats", sync="always"))
        uvloop.run(_streams(nats.url))
        service = _free_port()
        upstream = exits.enter_context(_process(["-m", "tests.bench.bench_gateway", str(service)], {}))
        port = _free_port()
        environment, key = _environment(folder, nats.url, service, port)
        gateway = exits.enter_context(_process(["-m", "services.gateway"], environment))
        return uvloop.run(_measure(upstream, gateway, service, port, key))


async def _measure(upstream: int, gateway: int, service: int, port: int, key: str) -> list[Figure]:
    headers = {
        "Authorization": f"Bearer {key}",
        "Content-Type": "application/json",
        "User-Agent": "bench/1.0",
        "Accept": "*/*",
    }
    await _until_ready(service, "/")
    await _until_ready(port, "/readyz")
    figures = []
    for what, method, path, body in (
        ("POST of 1 KB", "POST", "/api/emails", BODY),
        ("GET", "GET", "/api/emails?page=2", b""),
        ("public GET", "GET", "/api/emails/01890000-0000-7000-8000-000000000000/track/open", b""),
    ):
        sent = {} if what == "public GET" else headers
        direct = await _one(service, method, path, body, sent, upstream)
        through = await _one(port, method, path, body, sent, gateway)
        figures += [
            (f"gateway, {what}: its own CPU per request", f"{through[0]:,.0f} µs", f"{direct[0]:,.0f} µs raw ASGI"),
            (f"gateway, {what}: requests", f"{through[1].rate:,.0f}/s", f"{direct[1].rate:,.0f}/s directly"),
            (
                f"gateway, {what}: p50, p99 at {CONNECTIONS} connections",
                f"{through[1].p50 * 1e3:.1f}, {through[1].p99 * 1e3:.1f} ms",
                f"{direct[1].p50 * 1e3:.1f}, {direct[1].p99 * 1e3:.1f} ms directly",
            ),
        ]
    memory = int(_ps(gateway, "rss")) / 1024
    return [*figures, ("gateway: memory after it", f"{memory:,.0f} MB", "")]


async def _one(
    port: int, method: str, path: str, body: bytes, headers: dict[str, str], process: int
) -> tuple[float, LoadResult]:
    """Processor time per request in µs, and the load's result."""
    url = f"http://127.0.0.1:{port}{path}"
    await load(url, method=method, body=body, headers=headers, connections=CONNECTIONS, count=WARM)
    before = _cpu_seconds(process)
    result = await load(url, method=method, body=body, headers=headers, connections=CONNECTIONS, count=COUNT)
    used = _cpu_seconds(process) - before
    if set(result.statuses) != {201} or result.broken:
        raise RuntimeError(f"{method} {path} went wrong: {result}")
    return used / COUNT * 1e6, result


def _cpu_seconds(process: int) -> float:
    """User and system time; ps says hundredths only outside Linux."""
    stat = Path(f"/proc/{process}/stat")
    if stat.exists():
        fields = stat.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / int(os.sysconf("SC_CLK_TCK"))
    seconds = 0.0
    for part in _ps(process, "time").split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _ps(process: int, column: str) -> str:
    done = subprocess.run(["ps", "-o", f"{column}=", "-p", str(process)], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


async def _until_ready(port: int, path: str) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = await reader.read()
            writer.close()
            if answer.startswith((b"HTTP/1.1 200", b"HTTP/1.1 201")):
                return
            await asyncio.sleep(0.05)


async def _streams(url: str) -> None:
    bus = Bus(url, name="bench")
    await bus.start()
    if not await bus.wait_connected(10):
        raise RuntimeError("NATS is not there")
    await bootstrap(bus, store_bytes=256 * MEGABYTE)
    await bus.close()


@contextmanager
def _process(arguments: list[str], environment: dict[str, str]) -> Iterator[int]:
    child = subprocess.Popen([sys.executable, *arguments], env={**os.environ, **environment})
    try:
        yield child.pid
    finally:
        child.terminate()
        child.wait(15)


def _environment(folder: Path, nats: str, service: int, port: int) -> tuple[dict[str, str], str]:
    key = apikey.new_key()
    signing = base64.b64encode(bytes(range(32))).decode()
    ring = json.dumps({"active": "k1", "keys": {"k1": signing}})
    contents = {"PRINCIPAL_KEY": signing, "SESSION_KEY": signing, "KEYRING": ring}
    contents |= {"BOOTSTRAP_KEY": key, "BOOTSTRAP_PASSWORD": "bench"}
    for name, content in contents.items():
        (folder / name).write_text(content)
    files = {f"TEMPS_{name}_FILE": str(folder / name) for name in contents}
    names = ("PROVIDERS", "SENDER", "TRACKING", "ANALYTICS")
    urls = {f"TEMPS_{name}_URL": f"http://127.0.0.1:{service}" for name in names}
    return {"TEMPS_NATS_URL": nats, "TEMPS_HTTP_PORT": str(port), **urls, **files}, key


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _serve(port: int) -> None:
    from libs.common.web import http_server  # noqa: PLC0415 - the measuring side needs no server

    uvloop.run(http_server(answers_at_once, host="127.0.0.1", port=port).serve())


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
