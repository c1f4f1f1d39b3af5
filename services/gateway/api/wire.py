"""uvicorn's HTTP protocol with what a public door needs besides: limits on headers, and an end to slow ones.

uvicorn has no limit on the size of headers and no deadline for them, and its keep-alive clock starts only after a
first answer: a client that says nothing, or one byte a minute, would hold its connection for ever. Subclassing is the
way in that uvicorn offers (`http=` takes a protocol class).
"""

import asyncio
import enum
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from libs.common.errors import InvalidError, TempsError
from libs.common.events import uuid7
from libs.common.serve.problems import rendered

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


class _TooLarge(Exception):
    pass


class GuardedProtocol(HttpToolsProtocol):
    """One timer per connection looks every five seconds: nothing is added to each request but a few comparisons."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._state = _State.SILENT
        self._since = self.loop.time()
        self._head_bytes = 0
        self._is_too_large = False
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
        super().data_received(data)
        if self._state is _State.HEAD and self._head_bytes > MAX_HEAD and not self.transport.is_closing():
            self._refuse(_headers_too_large())

    def on_headers_complete(self) -> None:
        """The head is there; its exact size is counted only when it may be over the limit."""
        if len(self.headers) > MAX_HEADERS or (self._head_bytes > MAX_HEAD and self._size() > MAX_HEAD):
            self._is_too_large = True
            raise _TooLarge
        self._state = _State.BODY
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The whole request is there."""
        self._state = _State.DONE
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """A problem document, as everywhere."""
        self._refuse(_headers_too_large() if self._is_too_large else InvalidError([("request", msg)]))

    def _size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, error: TempsError) -> None:
        """Answer and close, unless an answer is under way: then only close."""
        if self._answered() is not False:
            request_id = str(uuid7())
            status, headers, body = rendered(error, path="/", request_id=request_id)
            lines: list[Any] = [STATUS_LINE[status]]
            for name, value in [*headers, (b"x-request-id", request_id.encode()), (b"connection", b"close")]:
                lines.append(b"%b: %b\r\n" % (name, value))
            self.transport.write(b"".join([*lines, b"\r\n", body]))
        self.transport.close()

    def _answered(self) -> bool | None:
        """Whether the last request has had its whole answer; None before the first (uvicorn's type hides that)."""
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
