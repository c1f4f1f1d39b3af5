"""Whole answers as ASGI messages: problem documents and the gateway's own pages."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from libs.common.errors import TempsError
from libs.common.web.problems import rendered

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

NOSNIFF = (b"x-content-type-options", b"nosniff")
_EXTRA: dict[str, Headers] = {
    "unauthorized": [(b"www-authenticate", b'Bearer realm="temps"')],
    # The rest of such a body is not waited for.
    "request_timeout": [(b"connection", b"close")],
}


async def answer(send: Send, status: int, headers: Headers, body: bytes) -> None:
    """One answer with a known length."""
    complete = [*headers, NOSNIFF, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": complete})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, error: TempsError, *, path: str, request_id: bytes, headers: Headers) -> None:
    """A problem document; `headers` are added."""
    status, raw, body = rendered(error, path=path, request_id=request_id.decode("ascii"))
    complete = [*raw, NOSNIFF, (b"x-request-id", request_id), *_EXTRA.get(error.slug, ()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": complete})
    await send({"type": "http.response.body", "body": body})
