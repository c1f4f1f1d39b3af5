"""A gateway on real NATS with tiny services behind it, all in the test's loop and on ports of their own."""

import asyncio
import base64
import http.client
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from deploy.local.servers import NatsAddress
from libs.common import apikey
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from libs.common.web import http_server
from libs.common.web.principal import Principal, verify
from services.gateway.__main__ import open_service
from services.gateway.docs_pages.merged_document import MergedDocument
from services.gateway.proxy.edge import Gateway
from services.gateway.proxy.wire import GuardedProtocol
from services.gateway.settings import GatewaySettings
from tests.support.wire import Wire

PRINCIPAL_KEY = bytes(range(32))
PASSWORD = "correct horse battery staple"
EMAIL = "admin@temps.localhost"
MEGABYTE = 2**20

App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


@dataclass(frozen=True)
class Answer:
    """An HTTP answer; header names in lower case, several values joined by a comma."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Seen:
    """A request as a service saw it."""

    method: str
    path: str
    query: bytes
    headers: dict[str, str]
    body: bytes

    @property
    def principal(self) -> Principal:
        return verify(self.headers["temps-principal"], PRINCIPAL_KEY, now=0)


@dataclass
class Echo:
    """A service that answers 200 with its name, and writes down what it saw. `then` may answer in its stead."""

    name: str
    seen: list[Seen] = field(default_factory=list)
    then: App | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    document: Mapping[str, Any] | None = None
    """Its OpenAPI document, which is no request of a test's; without one it has none to show."""

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/openapi.json" and self.then is None:
            body = json.dumps(self.document).encode()
            length = (b"content-length", str(len(body)).encode())
            status = 404 if self.document is None else 200
            await send({"type": "http.response.start", "status": status, "headers": [length]})
            await send({"type": "http.response.body", "body": body})
            return
        if self.then is not None:
            await self.then(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["raw_path"].decode()
        self.seen.append(Seen(scope["method"], path, scope["query_string"], headers, body))
        answer = json.dumps({"service": self.name, "size": len(body)}).encode()
        length = (b"content-length", str(len(answer)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length, *self.headers]})
        await send({"type": "http.response.body", "body": answer})


@dataclass
class Stack:
    """What a test talks to."""

    url: str
    key: str
    services: Mapping[str, Echo]
    bus: Bus
    gateway: Gateway
    nats: Wire
    restart: Callable[[], Awaitable[None]]

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 0

    def take_nats_away(self) -> None:
        """For the gateway: nobody listens any more, and its connection breaks."""
        assert self.nats._server is not None
        self.nats._server.close()
        self.nats.cut()

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        key: str | None = "",
    ) -> Answer:
        """One request on a connection of its own. `key` "" is the first key, None is none."""
        sent = dict(headers or {})
        if key is not None:
            sent.setdefault("Authorization", f"Bearer {key or self.key}")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        return await asyncio.to_thread(self._call, method, path, body, sent)

    def _call(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            content = response.read()
            folded: dict[str, str] = {}
            for name, value in response.getheaders():
                lower = name.lower()
                folded[lower] = f"{folded[lower]}, {value}" if lower in folded else value
            return Answer(response.status, folded, content)
        finally:
            connection.close()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A raw connection to the gateway."""
        return await asyncio.open_connection("127.0.0.1", self.port)


@asynccontextmanager
async def serving(app: Any, *, guarded: bool = False) -> AsyncIterator[str]:
    """An ASGI application on a free port; its URL.

    uvicorn's protocol without its server, whose loop looks only ten times a second whether it is to end.
    """
    config = http_server(app, host="127.0.0.1", port=0).config
    config.load()
    state = ServerState()
    protocol = GuardedProtocol if guarded else HttpToolsProtocol
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for connection in list(state.connections):
            cast("HttpToolsProtocol", connection).transport.abort()
        async with asyncio.timeout(5):
            while state.connections or state.tasks:
                await asyncio.sleep(0.001)
        await server.wait_closed()


@asynccontextmanager
async def stack(
    nats: NatsAddress, tmp_path: Path, *, reads_documents: bool = False, **settings: Any
) -> AsyncIterator[Stack]:
    """The gateway, ready. `settings` overrides what `GatewaySettings` has.

    `reads_documents`: it asks the services for their descriptions from the start, as it does in earnest; otherwise only
    when a request makes it, so that a service of a test is asked for nothing else than what the test asks.
    """
    files = write_files(tmp_path)
    address = urlsplit(nats.url)
    async with AsyncExitStack() as exits:
        patch = exits.enter_context(pytest.MonkeyPatch.context())
        if not reads_documents:
            patch.setattr(MergedDocument, "watch", _nothing)
        bus = Bus(nats.url, name="test")
        await bus.start()
        exits.push_async_callback(bus.close)
        assert await bus.wait_connected(5)
        await bootstrap(bus, store_bytes=64 * MEGABYTE)
        wire = await exits.enter_async_context(Wire(address.hostname or "", address.port or 0))
        services = {name: Echo(name) for name in ("providers", "sender", "tracking", "analytics", "inbox")}
        urls = {name: await exits.enter_async_context(serving(echo)) for name, echo in services.items()}
        given: dict[str, Any] = {
            "nats_url": f"nats://127.0.0.1:{wire.port}",
            "principal_key_file": files["principal"],
            "session_key_file": files["session"],
            "keyring_file": files["ring"],
            "bootstrap_key_file": files["key"],
            "bootstrap_password_file": files["password"],
            "local_inbox_url": urls["inbox"],
            **{f"{name}_url": urls[name] for name in ("providers", "sender", "tracking", "analytics")},
        }
        chosen = GatewaySettings(**{name: value for name, value in (given | settings).items() if value is not None})
        running = AsyncExitStack()
        exits.push_async_callback(running.aclose)

        async def start() -> tuple[Gateway, str]:
            app = await running.enter_async_context(open_service(chosen))
            assert isinstance(app, Gateway)
            return app, await running.enter_async_context(serving(app, guarded=True))

        async def restart() -> None:
            await running.aclose()
            made.gateway, made.url = await start()
            await until_ready(made)

        app, url = await start()
        made = Stack(url, files["key"].read_text(), services, bus, app, wire, restart)
        await until_ready(made)
        yield made


async def _nothing(_: MergedDocument) -> None:
    return


async def until_ready(made: Stack) -> None:
    async with asyncio.timeout(10):
        while (await made.call("GET", "/readyz", key=None)).status != 200:
            await asyncio.sleep(0.02)


def write_files(folder: Path) -> dict[str, Path]:
    def signing_key(data: bytes) -> str:
        return base64.b64encode(data).decode()

    contents = {
        "principal": signing_key(PRINCIPAL_KEY),
        "session": signing_key(bytes(range(1, 33))),
        "ring": json.dumps({"active": "k1", "keys": {"k1": signing_key(bytes(range(2, 34)))}}),
        "key": apikey.new_key(),
        "password": PASSWORD,
    }
    for name, content in contents.items():
        folder.joinpath(name).write_text(content)
    return {name: folder / name for name in contents}
