"""Requests to an ASGI application in this process, as the gateway would forward them."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import orjson

from libs.common.web.principal import HEADER, Principal, sign

App = Callable[[Any, Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    """What came back; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


async def ask(
    app: App,
    method: str,
    target: str,
    *,
    key: bytes,
    principal: Principal,
    json: object = None,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """One request with a freshly signed principal."""
    path, _, query = target.partition("?")
    sent = {HEADER: sign(principal, key), **(headers or {})}
    if json is not None:
        body = orjson.dumps(json)
        sent.setdefault("content-type", "application/json")
    payload = body or b""
    if payload:
        sent["content-length"] = str(len(payload))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 80),
    }
    messages: list[MutableMapping[str, Any]] = []
    given = False

    async def receive() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            await asyncio.Event().wait()
        given = True
        return {"type": "http.request", "body": payload, "more_body": False}

    async def send(message: MutableMapping[str, Any]) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start = messages[0]
    return Answer(
        start["status"],
        {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in start["headers"]},
        b"".join(message.get("body", b"") for message in messages[1:]),
    )


def principal(
    *,
    scopes: frozenset[str] = frozenset(),
    kind: str = "key",
    user_id: int | None = 1,
    ip: str | None = "203.0.113.7",
    user_agent: str | None = "test",
) -> Principal:
    """Somebody the gateway let in."""
    return Principal(f"{kind}:1", kind, user_id, scopes, ip, user_agent, time.time() + 60)
