"""One HTTP/1.1 connection to a service, as a proxy needs it: bytes through, and closed the moment nobody wants them.

Why not a client library: of those measured, pyreqwest 0.15 goes on reading an answer after its task was cancelled
(a client that leaves would leave a stream behind), folds dot segments in paths, and says nothing about whether a
connection was fresh; aiohttp costs half as much again. The parser is httptools, as on the server's side.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

from services.gateway.ports import BrokenError, CutError

_HIGH_WATER = 256 * 1024


class Connection(asyncio.Protocol):
    """`begin` an exchange, `write` the request, `await head()`, then `await chunk()` until it is b""."""

    def __init__(self, on_lost: Callable[["Connection"], None]) -> None:
        """`on_lost` hears of a connection that ended, in use or not."""
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._chunks: list[bytes] = []
        self._buffered = 0
        self._paused = False
        self._in_use = False
        self._is_head = False
        self._interim = False
        self._headed = False
        self._keep_alive = False
        self._until_close = False
        self.exchanges = 0
        self.idle_since = 0.0
        self.is_lost = False
        self.is_complete = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []

    def begin(self, *, is_head: bool) -> None:
        """A new exchange; the answer to HEAD has no body, whatever its headers say (RFC 9112 section 6.3)."""
        self.exchanges += 1
        self._in_use, self._is_head = True, is_head
        self.is_complete = self._headed = self._interim = self._keep_alive = self._until_close = False
        self.status = 0
        self.headers = []

    def write(self, data: bytes) -> None:
        """Send; bytes that the service does not take yet are the transport's, see `drain`."""
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the service has taken most of what was written."""
        while self._writable is not None and not self.is_lost:
            await self._writable

    async def head(self) -> None:
        """Wait for `status` and `headers`. Raises BrokenError."""
        while not self._headed:
            if self.is_lost:
                raise BrokenError("the connection ended before an answer", reused=self.exchanges > 1)
            await self._wait()

    async def chunk(self) -> bytes:
        """The next part of the body; b"" at its end. Raises CutError."""
        while not self._chunks:
            if self.is_complete:
                return b""
            if self.is_lost:
                raise CutError
            await self._wait()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._buffered = 0
        if self._paused:
            self._paused = False
            self._transport.resume_reading()
        return data

    def finish(self) -> bool:
        """End the exchange; whether the connection may serve another. If not, it is closed at once."""
        reusable = self.is_complete and self._keep_alive and not self.is_lost and self._writable is None
        self._in_use = False
        self._chunks.clear()
        self._buffered = 0
        if not reusable:
            self.abort()
        return reusable

    def abort(self) -> None:
        """Close now; the service sees the connection go."""
        if not self.is_lost:
            self._transport.abort()

    # what asyncio and httptools call

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class is registered nowhere

    def data_received(self, data: bytes) -> None:
        if not self._in_use:
            self.abort()  # an answer to no question
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._lose()
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None and self._headed and self._until_close:
            self.is_complete = True
        self._lose()

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100 and 103 come before the answer (RFC 9110 section 15.2)
            self._interim = True
            self.headers = []
            return
        self.status = status
        self._headed = True
        self._keep_alive = bool(self._parser.should_keep_alive())
        if self._is_head:
            # llhttp would wait for a body that never comes: this connection has done its work.
            self.is_complete, self._keep_alive = True, False
        elif not self._keep_alive:
            names = {name for name, _ in self.headers}
            self._until_close = not names & {b"content-length", b"transfer-encoding"}
        self._wake()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._buffered += len(body)
        if self._buffered > _HIGH_WATER and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            return
        self.is_complete = True
        self._wake()

    def _lose(self) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        self.resume_writing()
        self._wake()
        self._on_lost(self)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
