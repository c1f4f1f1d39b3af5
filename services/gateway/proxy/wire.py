"""uvicorn's HTTP protocol with what a public door needs besides. Subclassing is the way in that uvicorn offers.

- Limits on headers, and an end to slow ones: uvicorn has no limit on their size and no deadline for them, and its
  keep-alive clock starts only after a first answer, so that a silent client would hold its connection for ever.
- `Upgrade` is ignored (RFC 9110 section 7.8). Java's HttpClient and `curl --http2` ask for h2c with every request; the
  parser then stops at the end of the head, and the body would never arrive.
- A client that closes its side after the request gets its answer (RFC 9112 section 9.6).
- What is no HTTP is refused in words, also in the middle of a body.
"""

import asyncio
import enum
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from libs.common.errors import InvalidError, TempsError
from libs.common.facts import uuid7
from libs.common.web.problems import rendered
from services.gateway.proxy.framing_rules import head_fault, without_upgrade

MAX_HEAD = 32 * 1024
MAX_HEADERS = 100
MAX_CONNECTIONS = 8_192
HEAD_SECONDS = 15.0
LINGER_SECONDS = 15.0
"""How long the rest of a body that nobody wants any more may go on coming."""
_SWEEP = 5.0


class _State(enum.Enum):
    SILENT = enum.auto()
    """Connected and never heard."""
    HEAD = enum.auto()
    BODY = enum.auto()
    DONE = enum.auto()
    """The request is complete; between requests uvicorn's keep-alive clock runs."""


class _Refused(Exception):
    """The head is not acceptable; `_fault` of the connection says why."""


class GuardedProtocol(HttpToolsProtocol):
    """One timer per connection looks every five seconds: nothing is added to each request but a few comparisons."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._state = _State.SILENT
        self._since = self.loop.time()
        self._head_bytes = 0
        self._fault: TempsError | None = None
        self._replays = False
        self._lingers_since: float | None = None
        self._sweeper = self.loop.call_later(_SWEEP, self._sweep)
        if len(self.connections) > MAX_CONNECTIONS:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._sweeper.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes; refuses a head that is over the limit before its end has come."""
        if self._state is _State.DONE or self._state is _State.SILENT:
            self._state, self._since, self._head_bytes = _State.HEAD, self.loop.time(), 0
        if self._state is _State.HEAD:
            self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        self._parse(data)
        if self._state is _State.HEAD and self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self._refuse(_headers_too_large())

    def _parse(self, data: bytes) -> None:
        """Feed the parser; where it stops for another protocol, a new one goes on in this."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserError as error:
                self.send_400_response(f"This is not HTTP/1.1: {error}.")
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self._replays = True
                head = without_upgrade(self.headers)
                data = head + data
                continue
            return

    def on_message_begin(self) -> None:
        """A request begins; one that goes on without its upgrade has begun."""
        if not self._replays:
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Its target, or a piece of it."""
        if not self._replays:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if not self._replays:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is there; its exact size is counted only when it may be over the limit."""
        if self._replays:
            self._replays = False
            return
        if len(self.headers) > MAX_HEADERS or (self._head_bytes > MAX_HEAD and self._size() > MAX_HEAD):
            self._fault = _headers_too_large()
            raise _Refused
        if (fault := head_fault(self.parser.get_http_version(), self.headers)) is not None:
            self._fault = InvalidError([("request", fault)])
            raise _Refused
        self._state = _State.BODY
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is there, unless the parser only stops for another protocol."""
        if self.parser.should_upgrade():
            return
        self._state = _State.DONE
        super().on_message_complete()

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn narrows what asyncio allows
        """The client has closed its side. What it asked for is still answered, and then the connection is closed."""
        cycle = self.pipeline[0][0] if self.pipeline else cast("RequestResponseCycle | None", self.cycle)
        if self._state is not _State.DONE or cycle is None or cycle.response_complete:
            return False
        cycle.keep_alive = False
        return True

    def send_400_response(self, msg: str) -> None:
        """A problem document, as everywhere."""
        self._refuse(self._fault or InvalidError([("request", msg)]))

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, error: TempsError) -> None:
        """Answer and close, or only close when an answer has begun; a request under way is told that it is over."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is None or cycle.response_complete or not (cycle.response_started or self.pipeline):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
            request_id = str(uuid7())
            status, headers, body = rendered(error, path="/", request_id=request_id)
            lines: list[Any] = [STATUS_LINE[status]]
            for name, value in [*headers, (b"x-request-id", request_id.encode()), (b"connection", b"close")]:
                lines.append(b"%b: %b\r\n" % (name, value))
            self.transport.write(b"".join([*lines, b"\r\n", body]))
        self.transport.close()

    def _answered(self) -> bool | None:
        """True if the last request was answered completely; None before the first (uvicorn's type hides that)."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return None if cycle is None else cycle.response_complete

    def _sweep(self) -> None:
        now = self.loop.time()
        is_late = now - self._since > HEAD_SECONDS
        if self._state is _State.SILENT and is_late:
            self.transport.close()
        elif self._state is _State.HEAD and is_late:
            self._refuse(TempsError("The headers did not come in time.", slug="request_timeout"))
        elif self._state is _State.BODY and self._answered():
            self._lingers_since = self._lingers_since or now
            if now - self._lingers_since > LINGER_SECONDS:
                self.transport.close()
        else:
            self._lingers_since = None
        self._sweeper = self.loop.call_later(_SWEEP, self._sweep)


def _headers_too_large() -> TempsError:
    return TempsError(
        f"The headers are over the limit of {MAX_HEAD // 1024} KB or {MAX_HEADERS} lines.", slug="headers_too_large"
    )
