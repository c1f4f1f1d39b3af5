"""Scaleway's Transactional Email API on a random port of 127.0.0.1: its shapes, its rules, and its bad days.

    async with ScalewayServer() as api:
        api.project.checked("shop.example")                   # may send
        api.script["POST /emails"] = [refused(over_quota())]  # acts, one after the other, then the usual answer
        ...                                                 # speak HTTP with api.url
        api.project.letters[0]["to"], api.requests[0].headers # what was taken, what came

A script's key is the method and the path without prefix and ids: `POST /emails`, `GET /domains`, `POST /domains/check`.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from aiohttp import web

from tests.support import scaleway_shapes as shapes
from tests.support.scaleway_project import Call, Handler, Project
from tests.support.scaleway_shapes import Act, Answer

PREFIX = "/transactional-email/v1alpha1/regions"
REGION = "fr-par"


def refused(answer: Answer) -> Act:
    """This error in JSON."""
    status, body = answer
    return Act(status, json.dumps(body).encode())


def text(status: int, words: str, content_type: str = "text/plain") -> Act:
    """As a gateway in front of it answers."""
    return Act(status, words.encode(), content_type)


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(slots=True)
class ScalewayServer:
    """Serves one project; `script` comes first."""

    project: Project = field(default_factory=Project)
    script: dict[str, Act | Sequence[Act]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    at_work: int = 0
    most_at_work: int = 0
    port: int = 0
    _runner: web.AppRunner | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _played: dict[str, int] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=shapes.LARGEST * 4)
        for method, path, handler in self.project.routes():
            app.router.add_route(method, f"{PREFIX}/{{region}}{path}", self._serving(_name(method, path), handler))
        # A handler is not cancelled when its client leaves: Scaleway's would not notice either.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    @property
    def url(self) -> str:
        """What is set in place of https://api.scaleway.com."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open."""
        server = self._runner.server if self._runner else None
        # aiohttp keeps those that were closed until their handlers are done.
        return sum(each.transport is not None for each in server.connections) if server else 0

    async def hang_up(self) -> None:
        """Close every connection as a server does whose patience with idle ones is over; go on listening."""
        server = self._runner.server if self._runner else None
        transports = [each.transport for each in server.connections if each.transport] if server else []
        for transport in transports:
            transport.close()
        # Closing is only begun by that: the far side can know of it once the socket is gone.
        while any(transport.get_extra_info("socket").fileno() != -1 for transport in transports):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        """Nothing listens any more."""
        self._over.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def came(self, name: str, times: int = 1) -> None:
        """Return when so many requests of that name have come, each complete."""
        async with self._news:
            await self._news.wait_for(lambda: self._played.get(name, 0) >= times)

    # ------------------------------------------------------------------------------------------------ every request

    def _serving(self, name: str, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def serve(request: web.Request) -> web.StreamResponse:
            raw = await request.read()
            body = json.loads(raw) if raw else {}
            query, headers = dict(request.query), request.headers
            self.requests.append(Request(request.method, request.path, query, headers, body))
            act = await self._next(name)
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            try:
                return await self._play(act, request, lambda: self._answer(request, raw, body, handler))
            finally:
                self.at_work -= 1

        return serve

    async def _next(self, name: str) -> Act:
        planned = self.script.get(name, ())
        async with self._news:
            number = self._played[name] = self._played.get(name, 0) + 1
            self._news.notify_all()
        if isinstance(planned, Act):
            return planned
        return planned[number - 1] if number <= len(planned) else Act(usual=True)

    async def _play(
        self, act: Act, request: web.Request, usual: Callable[[], web.StreamResponse]
    ) -> web.StreamResponse:
        if act.delay:
            await asyncio.sleep(act.delay)  # slowness is what is played here
        if act.usual:
            return usual()
        if act.carry_out:
            usual()
        if act.then == "hang":
            await self._over.wait()
        if act.then in {"hang", "close"}:
            return _broken_off(request)
        headers = {"Content-Type": act.content_type, "X-Request-Id": str(uuid4()), **act.headers}
        if act.then == "answer":
            return web.Response(status=act.status, body=act.body, headers=headers)
        headers["Content-Length"] = str(len(act.body))
        response = web.StreamResponse(status=act.status, headers=headers)
        await response.prepare(request)
        if act.then == "cut":
            await response.write(act.body[: len(act.body) // 2])
            _broken_off(request)
            return response
        for position in range(len(act.body)):
            await response.write(act.body[position : position + 1])
            await asyncio.sleep(0.02)  # so slowly that no single wait is long
        return response

    def _answer(
        self, request: web.Request, raw: bytes, body: Mapping[str, Any], handler: Handler
    ) -> web.StreamResponse:
        headers = {"X-Request-Id": str(uuid4()), "Server": "Scaleway API Gateway (fr-par-1;edge03)"}
        if request.match_info["region"] != REGION:
            return web.Response(status=404, text="404 page not found", headers=headers)
        if len(raw) > shapes.LARGEST:
            return web.Response(status=413, text="Request Entity Too Large", headers=headers)
        project_id = body.get("project_id", request.query.get("project_id"))
        status, answer = self.project.refusal(
            request.headers.get("X-Auth-Token"), project_id, request.method
        ) or handler(Call(request.match_info.get("id", ""), request.query, body))
        return web.json_response(answer, status=status, headers=headers)


def _broken_off(request: web.Request) -> web.StreamResponse:
    """The connection is gone; aiohttp wants something to return all the same."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _name(method: str, path: str) -> str:
    return f"{method} {path.replace('/{id}', '')}" if not path.endswith("{id}") else f"{method} {path[:-5]}/id"
