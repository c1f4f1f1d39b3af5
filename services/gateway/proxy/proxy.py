"""Forward a request to a service and its answer back, both as streams.

Nothing is buffered beyond what sockets hold. A client that leaves takes its request to the service with it; a service
that does not connect, breaks or hangs becomes 502 or 504; a body cut in the middle cuts the client's connection,
because by then there is no honest status left to send.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from libs.common.errors import TempsError, TooLargeError, UnavailableError
from libs.common.web import client_gone
from services.gateway.ports import BrokenError, CutError, Exchange, RefusedError, Service
from services.gateway.proxy.guard import Guard, Reason

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

MAX_BODY = 20 * 2**20
_REFUSED_PAUSES = (0.05, 0.2)
"""A service that is just being restarted refuses for a moment; nothing was sent, so asking again is safe."""
_SAFE = frozenset({b"GET", b"HEAD"})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request as a service will see it. `length` is the declared length of its body, None without or when chunked."""

    method: bytes
    target: bytes
    lines: list[bytes]
    length: int | None
    is_chunked: bool

    def head(self, authority: bytes, framing: bytes) -> bytes:
        """The request line and headers."""
        start = b"%b %b HTTP/1.1\r\nhost: %b\r\n" % (self.method, self.target, authority)
        return b"".join((start, *self.lines, framing, b"\r\n"))


@dataclass(frozen=True, slots=True)
class Proxy:
    """`answer_timeout` seconds for a service to begin or go on with its answer, `body_timeout` for the client."""

    answer_timeout: float = 30.0
    body_timeout: float = 15.0
    max_body: int = MAX_BODY

    async def forward(
        self,
        request: Outgoing,
        service: Service,
        receive: Receive,
        send: Send,
        answer: Callable[[int, Headers], Headers],
    ) -> None:
        """`answer` makes the headers that go back from status and headers of the service.

        Raises TempsError before anything was sent back, CutError afterwards.
        """
        if (request.length or 0) > self.max_body:
            raise _too_large(self.max_body)
        if service.is_full:
            raise UnavailableError(f"The {service.name} service has too much to do at the moment.")
        guard = Guard(receive, answer_timeout=self.answer_timeout, body_timeout=self.body_timeout)
        service.in_flight += 1
        started = False
        try:
            connection, pump = await self._answered(request, service, receive, guard)
            try:
                started = True
                await _pass_back(connection, send, answer, guard)
            finally:
                if pump is None or pump.done():
                    service.give_back(connection)
                else:
                    # The service has answered without wanting all of the body: the rest is not sent.
                    pump.cancel()
                    connection.abort()
        except asyncio.CancelledError:
            if guard.reason is None:
                raise
            guard.accept_cancel()
            if guard.reason is Reason.CLIENT_LEFT:
                client_gone("gateway")
                return
            if started:
                raise CutError from None
            raise self._refusal(guard.reason, service.name) from None
        except RefusedError:
            raise _bad_gateway(f"The {service.name} service cannot be reached: nothing was done.") from None
        except BrokenError:
            raise _bad_gateway(
                f"The {service.name} service ended the connection without an answer"
                + ("." if request.method in _SAFE else ": it may have been done, or not.")
            ) from None
        finally:
            guard.stop()
            service.in_flight -= 1

    async def _answered(
        self, request: Outgoing, service: Service, receive: Receive, guard: Guard
    ) -> tuple[Exchange, "asyncio.Task[None] | None"]:
        """A connection whose answer has begun, and the task that sends a body which did not come in one piece."""
        first = await receive()
        if first["type"] == "http.disconnect":
            guard.leave()
        body: bytes = first.get("body", b"")
        more: bool = first.get("more_body", False)
        if len(body) > self.max_body:
            raise _too_large(self.max_body)
        connection = service.idle() or await _connect(service)
        while True:
            pump: asyncio.Task[None] | None = None
            connection.begin(is_head=request.method == b"HEAD")
            try:
                if more:
                    connection.write(request.head(service.authority, _framing(request.length)))
                    chunked = request.length is None
                    pump = asyncio.create_task(self._pump(connection, body, receive, guard, chunked=chunked))
                else:
                    framing = _framing(len(body)) if body or request.length is not None else b""
                    connection.write(request.head(service.authority, framing) + body)
                    guard.await_answer()
                await connection.head()
            except BrokenError as error:
                # Safe methods alone are sent twice, and only when the peer may have closed an idle connection
                # (RFC 9110 section 9.2.2).
                if not error.reused or more or request.method not in _SAFE:
                    _drop(connection, pump)
                    raise
                connection = await _connect(service)
            except BaseException:
                _drop(connection, pump)
                raise
            else:
                return connection, pump

    async def _pump(self, connection: Exchange, first: bytes, receive: Receive, guard: Guard, *, chunked: bool) -> None:
        """Send the body as it comes, beside the answer: a service may begin to answer before its end."""
        size, data, more = 0, first, True
        while not connection.is_lost:
            size += len(data)
            if size > self.max_body:
                guard.end(Reason.TOO_LARGE)
                return
            if data:
                connection.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)
            if not more:
                if chunked:
                    connection.write(b"0\r\n\r\n")
                guard.await_answer()
                return
            await connection.drain()
            guard.await_body()
            message = await receive()
            if message["type"] == "http.disconnect":
                guard.end(Reason.CLIENT_LEFT)
                return
            data, more = message.get("body", b""), message.get("more_body", False)

    def _refusal(self, reason: Reason, name: str) -> TempsError:
        if reason is Reason.TOO_LARGE:
            return _too_large(self.max_body)
        if reason is Reason.CLIENT_SLOW:
            return TempsError("The body of the request did not come in time.", slug="request_timeout")
        return TempsError(f"The {name} service did not answer in time.", slug="gateway_timeout", retry_after=1)


async def _pass_back(connection: Exchange, send: Send, answer: Callable[[int, Headers], Headers], guard: Guard) -> None:
    headers = answer(connection.status, connection.headers)
    await send({"type": "http.response.start", "status": connection.status, "headers": headers})
    while True:
        data = await connection.chunk()
        is_last = not data or connection.is_complete
        guard.go_on()
        await send({"type": "http.response.body", "body": data, "more_body": not is_last})
        if is_last:
            return


async def _connect(service: Service) -> Exchange:
    for pause in _REFUSED_PAUSES:
        try:
            return await service.connect()
        except RefusedError:
            await asyncio.sleep(pause)
    return await service.connect()


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"The request is over the limit of {limit // 2**20} MB.")


def _bad_gateway(detail: str) -> TempsError:
    return TempsError(detail, slug="bad_gateway", retry_after=1)


def _framing(length: int | None) -> bytes:
    return b"transfer-encoding: chunked\r\n" if length is None else b"content-length: %d\r\n" % length


def _drop(connection: Exchange, pump: "asyncio.Task[None] | None") -> None:
    connection.abort()
    if pump is not None:
        pump.cancel()
