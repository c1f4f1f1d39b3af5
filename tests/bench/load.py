"""A load generator that costs a few microseconds per request, because it shares the machine with what it measures.

Raw sockets, keep-alive, one request in flight per connection; no client library, no allocation that can be avoided.
`load` runs in the calling process and loop: run the servers in processes of their own.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
_BODILESS = frozenset((204, 304))


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of it. Latencies are in seconds; `broken` counts connections that ended inside a request."""

    requests: int
    seconds: float
    rate: float
    p50: float
    p99: float
    slowest: float
    statuses: Mapping[int, int]
    broken: int

    def __str__(self) -> str:
        """One line for a person."""
        latency = f"p50 {self.p50 * 1e3:.1f} ms, p99 {self.p99 * 1e3:.1f} ms"
        return f"{self.rate:,.0f}/s, {latency}, {dict(self.statuses)}, {self.broken} broken"


async def load(
    url: str,
    *,
    method: str = "GET",
    body: bytes | Callable[[int], bytes] = b"",
    path: Callable[[int], str] | None = None,
    headers: Mapping[str, str] | None = None,
    connections: int = 32,
    seconds: float | None = None,
    count: int | None = None,
) -> LoadResult:
    """Send requests to `url` for `seconds`, or `count` of them, whichever ends first (at least one is given).

    `body` and `path` may be functions of the request's number (0, 1, …): other emails, other pixels. A connection that
    the server closes between requests is opened again; one that breaks inside a request counts as broken.
    """
    if seconds is None and count is None:
        raise ValueError("load without an end: give seconds or count")
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    fixed_path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = _renderer(method, path or (lambda _: fixed_path), body, parts.netloc, headers or {})
    run = _Run(request, method == "HEAD", count, None if seconds is None else time.perf_counter() + seconds)
    if path is None and isinstance(body, bytes):
        fixed = request(0)
        run.request = lambda _: fixed
    began = time.perf_counter()
    await asyncio.gather(*(_drive(run, host, port) for _ in range(connections)))
    return _result(run, time.perf_counter() - began)


@dataclass(slots=True)
class _Run:
    """What all connections share."""

    request: Callable[[int], bytes]
    is_head: bool
    count: int | None
    until: float | None
    sent: int = 0
    broken: int = 0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def next_request(self) -> bytes | None:
        if self.count is not None and self.sent >= self.count:
            return None
        if self.until is not None and time.perf_counter() >= self.until:
            return None
        self.sent += 1
        return self.request(self.sent - 1)


class _Connection(asyncio.Protocol):
    """One request in flight; the next one leaves from the callback that completed the last."""

    def __init__(self, run: _Run) -> None:
        self.run = run
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None
        self.in_flight = False
        self.began = 0.0
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own class is registered nowhere
        self._send()

    def _send(self) -> None:
        assert self.transport is not None
        request = self.run.next_request()
        if request is None:
            self.transport.close()
            return
        self.in_flight = True
        self.began = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        status = _complete(data, is_head=self.run.is_head)
        if status is None:
            self.buffer = data
            return
        self.buffer = b""
        self.in_flight = False
        self.run.latencies.append(time.perf_counter() - self.began)
        self.run.statuses[status] += 1
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.in_flight:
            self.run.broken += 1
        if not self.finished.done():
            self.finished.set_result(None)


def _complete(data: bytes, *, is_head: bool) -> int | None:
    """The status of the response when `data` holds all of it, else None."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    status = int(data[9:12])
    if is_head or status in _BODILESS:
        return status
    length = _LENGTH.search(data, 0, end)
    if length is not None:
        return status if len(data) >= end + 4 + int(length[1]) else None
    if _CHUNKED.search(data, 0, end):
        return status if data.endswith(b"0\r\n\r\n") else None
    raise ValueError(f"a response without a length: {data[:200]!r}")


async def _drive(run: _Run, host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    while (run.count is None or run.sent < run.count) and (run.until is None or time.perf_counter() < run.until):
        try:
            _, connection = await loop.create_connection(lambda: _Connection(run), host, port)
        except OSError:
            run.broken += 1
            await asyncio.sleep(0.05)  # the server is away: not a busy loop of refusals
            continue
        await connection.finished


def _renderer(
    method: str,
    path: Callable[[int], str],
    body: bytes | Callable[[int], bytes],
    authority: str,
    headers: Mapping[str, str],
) -> Callable[[int], bytes]:
    fixed = "".join(f"{name}: {value}\r\n" for name, value in {"Host": authority, **headers}.items())

    def render(number: int) -> bytes:
        content = body if isinstance(body, bytes) else body(number)
        length = f"Content-Length: {len(content)}\r\n" if content or method in {"POST", "PUT", "PATCH"} else ""
        return f"{method} {path(number)} HTTP/1.1\r\n{fixed}{length}\r\n".encode("latin-1") + content

    return render


def _result(run: _Run, seconds: float) -> LoadResult:
    ordered = sorted(run.latencies)
    if not ordered:
        return LoadResult(0, seconds, 0.0, 0.0, 0.0, 0.0, {}, run.broken)

    def at(share: float) -> float:
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    return LoadResult(
        requests=len(ordered),
        seconds=seconds,
        rate=len(ordered) / seconds,
        p50=at(0.50),
        p99=at(0.99),
        slowest=ordered[-1],
        statuses=dict(run.statuses),
        broken=run.broken,
    )
