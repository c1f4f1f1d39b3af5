"""The public door: every request's way from the wire to a service and back, as plain ASGI because it is the hot path.

Order: a request id, a path that means the same to everybody, a route, who is calling, how often, then onwards.
"""

import asyncio
import itertools
import logging
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from libs.common import logs
from libs.common.errors import ForbiddenError, NotFoundError, TempsError, UnavailableError
from services.gateway.auth.authenticate import Authenticator, Caller
from services.gateway.auth.session_rules import cookie_of
from services.gateway.docs_pages.merged_document import MergedDocument
from services.gateway.docs_pages.pages import Page
from services.gateway.ports import CutError, Service
from services.gateway.proxy.answers import NOSNIFF, ASGIApp, Headers, Receive, Scope, Send, answer, refuse
from services.gateway.proxy.client_rules import (
    Networks,
    client_ip,
    is_same_site,
    is_trusted_peer,
    is_unsafe,
    own_origins,
    scheme_of,
    user_agent_of,
)
from services.gateway.proxy.metrics import Meters
from services.gateway.proxy.position_rules import HEADER as POSITION
from services.gateway.proxy.position_rules import Positions
from services.gateway.proxy.proxy import Outgoing, Proxy
from services.gateway.proxy.rate_limit_rules import RateLimit
from services.gateway.proxy.request_rules import forwarded, returned, sane_request_id
from services.gateway.proxy.route_rules import OWN, NoRoute, RouteTable, Target, is_sane

log = logging.getLogger(__name__)

_HEALTH = frozenset({"/healthz", "/readyz"})
_BODILESS = frozenset({204, 304})


@dataclass(slots=True)
class _Request:
    """One request under way. `extra` goes into its answer, whatever that is."""

    scope: Scope
    headers: dict[bytes, bytes]
    path: str
    id: bytes
    route: str = "-"
    status: int = 0
    extra: Headers = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Gateway:
    """`own` is the application of the gateway's own routes; `public_url` is what browsers call this site."""

    table: RouteTable
    services: Mapping[str, Service]
    proxy: Proxy
    authenticator: Authenticator
    own: ASGIApp
    pages: Mapping[str, Page]
    document: MergedDocument
    public_url: str
    trusted_proxies: Networks = ()
    rate_limit: RateLimit | None = None
    positions: Positions = field(default_factory=Positions)
    request_ids: Iterator[bytes] = field(default_factory=lambda: _request_ids())  # noqa: PLW0108 - defined below
    meters: Meters = field(default_factory=Meters)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        request_id = sane_request_id(headers.get(b"x-request-id")) or next(self.request_ids)
        logs.request_id.set(request_id.decode("ascii"))
        request = _Request(scope, headers, scope["raw_path"].decode("ascii", "replace"), request_id)

        async def counted(message: Any) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
            await send(message)

        try:
            await self._answer(request, receive, counted)
        except CutError:
            log.warning("%s %s: the service's answer was cut", scope["method"], request.path)
        except Exception as error:
            if not isinstance(error, TempsError):
                log.exception("%s %s failed", scope["method"], request.path)
            if request.status:
                raise
            await refuse(counted, _known(error), path=request.path, request_id=request_id, headers=request.extra)
        finally:
            if request.route != OWN:  # its own application counts
                self.meters.count(request.route, scope["method"], request.status, time.perf_counter() - started)

    async def _answer(self, request: _Request, receive: Receive, send: Send) -> None:
        scope, path = request.scope, request.path
        method: str = scope["method"]
        if not path.startswith("/api/"):
            await self._page(request, receive, send)
            return
        if not is_sane(scope["raw_path"]):
            raise NotFoundError("There is nothing at this address.")
        target = self.table.find(method, path)
        if isinstance(target, NoRoute):
            raise await self._no_route(target, method, request)
        request.route = target.service
        caller = await self._caller(request, target)
        paths = self.document.paths
        if not target.public and paths is not None and method not in paths.methods(path):
            await self._check_path(method, request)
        if self.rate_limit is not None and not target.public:
            self._take_token(request, caller)
        if target.service == OWN:
            await self._own(request, caller, receive, send)
        else:
            await self._forward(request, target, caller, receive, send)

    async def _caller(self, request: _Request, target: Target) -> Caller:
        scope, headers = request.scope, request.headers
        peer = scope["client"]
        chain = [v for n, v in scope["headers"] if n == b"x-forwarded-for"] if self.trusted_proxies else ()
        ip = client_ip(peer[0] if peer else None, chain, self.trusted_proxies)
        user_agent = user_agent_of(headers.get(b"user-agent"))
        unsafe = is_unsafe(scope["method"])
        if target.public:
            if target.service == OWN and b"origin" in headers:
                self._check_site(request)
            return self.authenticator.anonymous(ip, user_agent)
        authorization = headers.get(b"authorization")
        cookie = None if authorization is not None else cookie_of(scope["headers"])
        if cookie is not None and unsafe:
            self._check_site(request)
        return await self.authenticator.authenticate(authorization, cookie, writes=unsafe, ip=ip, user_agent=user_agent)

    def _check_site(self, request: _Request) -> None:
        scope, headers = request.scope, request.headers
        peer = scope["client"][0] if scope["client"] else None
        protocols = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
        scheme = scheme_of(scope["scheme"], protocols, is_trusted=is_trusted_peer(peer, self.trusted_proxies))
        ours = own_origins(scheme=scheme, host=headers.get(b"host"), public_url=self.public_url)
        if not is_same_site(origin=headers.get(b"origin"), fetch_site=headers.get(b"sec-fetch-site"), own_origins=ours):
            raise ForbiddenError(
                "With the session cookie, changes are taken only from this site's own pages.",
                slug="csrf_failed",
                suggestion="From a program, use an API key instead of the cookie.",
            )

    def _take_token(self, request: _Request, caller: Caller) -> None:
        assert self.rate_limit is not None  # noqa: S101 - the caller has looked; this is for the type checker
        allowance = self.rate_limit.take(caller.principal.id, time.monotonic())
        request.extra = allowance.headers()
        if allowance.retry_after:
            raise TempsError(
                f"More than {self.rate_limit.per_second:g} requests a second came with this key.",
                slug="rate_limited",
                retry_after=allowance.retry_after,
            )

    async def _forward(self, request: _Request, target: Target, caller: Caller, receive: Receive, send: Send) -> None:
        scope, headers = request.scope, request.headers
        method, query = scope["method"], scope["query_string"]
        if method == "HEAD" and not target.public:
            method = "GET"  # services answer GET; the server here leaves the body of an answer to HEAD away
        lines = forwarded(scope["headers"], headers.get(b"connection"))
        lines.append(
            b"x-forwarded-for: %b\r\nx-request-id: %b\r\ntemps-principal: %b\r\n"
            % ((caller.principal.ip or "").encode("latin-1"), request.id, caller.header)
        )
        if self.positions.header:
            lines.append(b"temps-position: %b\r\n" % self.positions.header)
        length = headers.get(b"content-length")
        outgoing = Outgoing(
            method=method.encode("ascii"),
            target=scope["raw_path"] + b"?" + query if query else scope["raw_path"],
            lines=lines,
            length=None if length is None else int(length),
            is_chunked=b"transfer-encoding" in headers,
        )

        def back(status: int, received: Headers) -> Headers:
            self._learn(received)
            kept = returned(received)
            if status in _BODILESS:
                kept = [header for header in kept if header[0] != b"content-length"]
            return [*kept, (b"x-request-id", request.id), NOSNIFF, *request.extra]

        await self.proxy.forward(outgoing, self.services[target.service], receive, send, back)

    async def _own(self, request: _Request, caller: Caller, receive: Receive, send: Send) -> None:
        scope = request.scope
        kept = [
            (name, value)
            for name, value in scope["headers"]
            if not name.startswith(b"temps-") and name not in (b"x-request-id", b"authorization", b"cookie")
        ]
        added = [(b"temps-principal", caller.header), (b"x-request-id", request.id)]
        inner = {**scope, "headers": kept + added, "temps.session": caller.session}
        if scope["method"] == "HEAD":
            inner["method"] = "GET"

        async def back(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._learn(message["headers"])
                visible = [header for header in message["headers"] if not header[0].startswith(b"temps-")]
                message = {**message, "headers": [*visible, NOSNIFF, *request.extra]}
            await send(message)

        async def in_time() -> Any:
            try:
                async with asyncio.timeout(self.proxy.body_timeout):
                    return await receive()
            except TimeoutError:
                raise TempsError("The body of the request did not come in time.", slug="request_timeout") from None

        await self.own(inner, in_time, back)

    async def _page(self, request: _Request, receive: Receive, send: Send) -> None:
        path, method = request.path, request.scope["method"]
        page = self.pages.get(path)
        if page is None and path not in _HEALTH:
            raise await self._no_route(NoRoute(), method, request)
        if method not in ("GET", "HEAD"):
            raise _not_allowed("GET, HEAD", method, request)
        if page is None:
            await self.own(request.scope, receive, send)
            return
        content = await page()
        await answer(send, content.status, [*content.headers, (b"x-request-id", request.id)], content.body)

    async def _check_path(self, method: str, request: _Request) -> None:
        """The service would say that there is no such route; here is known what there is instead."""
        methods, _ = await self.document.methods(request.path)
        if method not in methods:
            raise await self._no_route(NoRoute(), method, request)

    async def _no_route(self, found: NoRoute, method: str, request: _Request) -> TempsError:
        """405 with the methods of this very path, else 404 with the path that may have been meant."""
        methods, meant = await self.document.methods(request.path)
        allow = ", ".join(sorted(methods)) or found.allow
        if allow is not None:
            return _not_allowed(allow, method, request)
        return NotFoundError(
            "There is nothing at this address.", suggestion=f"Did you mean {meant}?" if meant is not None else None
        )

    def _learn(self, headers: Headers) -> None:
        for name, value in headers:
            if name == POSITION:
                self.positions.learn(value)


def _request_ids() -> Iterator[bytes]:
    """Ids that no other process or start has: 64 random bits, then a count (a UUID for each costs ten times that)."""
    start = secrets.token_hex(8)
    return (b"%b-%08x" % (start.encode("ascii"), number) for number in itertools.count(1))


def _not_allowed(allow: str, method: str, request: _Request) -> TempsError:
    request.extra = [*request.extra, (b"allow", allow.encode("ascii"))]
    return TempsError(f"{method} is not possible here, but {allow}.", slug="method_not_allowed")


def _known(error: Exception) -> TempsError:
    if isinstance(error, TempsError):
        return error
    return UnavailableError("Something went wrong here; the log has it under this request id.", slug="internal_error")
