"""The HTTP application of a service: what every request goes through before and after its route.

A plain ASGI layer around FastAPI does it, because a middleware of the framework would cost each request more than
all of this together.
"""

import logging
import re
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route

from libs.common import logs
from libs.common.errors import TempsError, TooLargeError, UnauthorizedError, UnavailableError
from libs.common.facts import uuid7
from libs.common.web.budget import Budget, Held
from libs.common.web.clients import client_gone
from libs.common.web.openapi import openapi_document
from libs.common.web.principal import HEADER, Principal, PrincipalError, verify
from libs.common.web.problems import from_http, from_validation, rendered
from libs.common.web.routing import check_query, missing
from libs.common.web.service import ASGIApp, Receive, Scope, Send, Service, Shortcut

log = logging.getLogger(__name__)

_PRINCIPAL = HEADER.encode()
_MEDIA_TYPE = "unsupported_media_type"
_SANE_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_REMEMBERED = 4_096

REQUESTS = Counter("temps_http_requests_total", "Requests answered", ["service", "route", "method", "status"])
SECONDS = Histogram(
    "temps_http_request_seconds",
    "Time from the first byte read to the last byte written",
    ["service", "route"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


def create_app(service: Service) -> ASGIApp:
    """The service's ASGI application: its routes, health, metrics and problem documents for everything."""
    inner = FastAPI(
        title=f"Temps {service.name}",
        version=service.version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )

    async def on_gone(request: Request, gone: ClientDisconnect) -> None:
        del request, gone
        client_gone(service.name)

    for name, value in service.state.items():
        setattr(inner.state, name, value)
    for router in service.routers:
        inner.include_router(router)
    inner.state.routes = [each for router in service.routers for each in router.routes if isinstance(each, Route)]
    inner.add_exception_handler(TempsError, _on_refusal)  # type: ignore[arg-type]  # narrower than Exception
    inner.add_exception_handler(RequestValidationError, _on_validation)  # type: ignore[arg-type]  # as above
    inner.add_exception_handler(ClientDisconnect, on_gone)  # type: ignore[arg-type]  # nothing is answered
    inner.add_exception_handler(Exception, _on_failure)
    inner.add_exception_handler(HTTPException, _on_http)  # type: ignore[arg-type]  # as above
    return _Edge(service, inner)


class _Edge:
    """One request's way in and out."""

    def __init__(self, service: Service, inner: FastAPI) -> None:
        self._service, self._inner = service, inner
        self._was_ready, self._budget = False, Budget()
        self._document: bytes | None = None
        self._principals: dict[bytes, Principal] = {}
        self._shortcuts = {(each.method, each.path): each for each in service.shortcuts}
        self._own: Mapping[str, Callable[[], tuple[int, bytes, bytes]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._metrics,
            "/openapi.json": self._openapi,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        own = self._own.get(scope["path"])
        if own is not None and scope["method"] in ("GET", "HEAD"):
            status, content_type, body = own()
            await _answer(send, status, [(b"content-type", content_type)], body)
            return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given.decode() if _SANE_ID.fullmatch(given) else str(uuid7())
        scope["temps.request_id"] = request_id
        token = logs.request_id.set(request_id)
        status, held = 0, Held(self._budget)

        async def counted(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            scope["temps.principal"] = self._principal(headers.get(_PRINCIPAL))
            if (position := headers.get(b"temps-position")) is not None:
                await self._await_views(position.decode("latin-1"))
            limited = self._limited(headers, receive, held)
            shortcut = self._shortcuts.get((scope["method"], scope["path"]))
            if shortcut is None:
                await self._inner(scope, limited, counted)
            else:
                await self._straight(shortcut, scope, limited, counted)
        except ClientDisconnect:
            client_gone(self._service.name)
        except Exception as error:
            if not isinstance(error, TempsError):
                log.exception("%s %s failed", scope["method"], scope["path"])
            if scope.get("temps.answered"):
                return
            if status:
                # The answer has begun: closing the connection is the only honest end.
                raise
            await _refuse(_known(error), scope, counted)
        finally:
            held.give_back()
            logs.request_id.reset(token)
            route = getattr(scope.get("route"), "path", "-")
            REQUESTS.labels(self._service.name, route, scope["method"], str(status)).inc()
            SECONDS.labels(self._service.name, route).observe(time.perf_counter() - started)

    async def _straight(self, shortcut: Shortcut, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal = scope["temps.principal"]
        if shortcut.required_scope not in principal.scopes:
            raise missing(shortcut.required_scope)
        scope["app"], scope["route"] = self._inner, shortcut
        request = Request(scope, receive)
        check_query(request, frozenset())
        response = await shortcut.endpoint(request, principal)
        await response(scope, receive, send)

    def _principal(self, value: bytes | None) -> Principal:
        if value is None:
            raise UnauthorizedError("This service answers only requests that came through the gateway.")
        now = time.time()
        known = self._principals.get(value)
        if known is not None and known.exp > now:
            return known
        try:
            principal = verify(value.decode("latin-1"), self._service.principal_key, now=now)
        except PrincipalError as error:
            raise UnauthorizedError(f"Refused: {error}.") from error
        if len(self._principals) >= _REMEMBERED:
            self._principals.clear()
        self._principals[value] = principal
        return principal

    async def _await_views(self, position: str) -> None:
        for part in position.split(","):
            name, _, sequence = part.strip().partition("=")
            view = self._service.views.get(name)
            if view is None or not sequence.isdigit():
                continue
            if view.position < int(sequence) and not await view.wait_for(int(sequence)):
                raise UnavailableError(f"An earlier change of {name} has not arrived here yet.", slug="not_caught_up")

    def _limited(self, headers: Mapping[bytes, bytes], receive: Receive, held: Held) -> Receive:
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise TempsError("A body is read as it is: send it without Content-Encoding.", slug=_MEDIA_TYPE)
        limit = self._service.max_body
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > limit:
            raise TooLargeError(f"The body is over the limit of {limit} bytes.")
        if b"content-length" in headers:
            held.take(int(length) if length.isdigit() else 0)
            return receive

        async def counting() -> MutableMapping[str, Any]:
            message = await receive()
            held.take(len(message.get("body", b"")))
            if held.count > limit:
                raise TooLargeError(f"The body is over the limit of {limit} bytes.")
            return message

        return counting

    def _healthz(self) -> tuple[int, bytes, bytes]:
        return 200, b"application/json", b'{"status":"ok"}'

    def _readyz(self) -> tuple[int, bytes, bytes]:
        missing, degraded = self._service.waiting_for(), self._service.degraded()
        if self._was_ready and self._service.serves_degraded:
            missing = [name for name in missing if name not in degraded]
        self._was_ready = self._was_ready or not missing
        if missing:
            return 503, b"application/json", orjson.dumps({"status": "waiting", "waiting_for": missing})
        if degraded:
            return 200, b"application/json", orjson.dumps({"status": "degraded", "degraded": degraded})
        return 200, b"application/json", b'{"status":"ready"}'

    def _metrics(self) -> tuple[int, bytes, bytes]:
        return 200, CONTENT_TYPE_LATEST.encode(), generate_latest()

    def _openapi(self) -> tuple[int, bytes, bytes]:
        if self._document is None:
            document = openapi_document(self._inner, self._service.models)
            document["paths"] = {**document.get("paths", {}), **self._service.described}
            self._document = orjson.dumps(document)
        return 200, b"application/json", self._document


def _known(error: Exception) -> TempsError:
    if isinstance(error, TempsError):
        return error
    if isinstance(error, RecursionError):
        return from_http(400, "The body is nested too deeply.")
    return TempsError("Something went wrong here; the log has it under this request id.", slug="internal_error")


async def _refuse(error: TempsError, scope: Scope, send: Send) -> None:
    status, headers, body = rendered(error, path=scope["path"], request_id=scope["temps.request_id"])
    await _answer(send, status, headers, body)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    if not any(name == b"content-length" for name, _ in headers):
        headers = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _response(request: Request, error: TempsError, headers: Mapping[str, str] | None = None) -> Response:
    status, raw, body = rendered(
        error, path=request.scope["path"], request_id=request.scope["temps.request_id"], headers=headers
    )
    response = Response(body, status_code=status)
    response.raw_headers[:] = raw
    return response


async def _on_failure(request: Request, error: Exception) -> Response:
    # Starlette raises the error again after this answer, for its server to log: the edge has done that.
    request.scope["temps.answered"] = True
    return _response(request, _known(error))


async def _on_refusal(request: Request, error: TempsError) -> Response:
    return _response(request, error)


async def _on_validation(request: Request, error: RequestValidationError) -> Response:
    return _response(request, from_validation(error))


async def _on_http(request: Request, error: HTTPException) -> Response:
    if isinstance(error.__cause__, TempsError):
        return _response(request, error.__cause__)
    headers = {**(error.headers or {}), "Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return _response(request, from_http(error.status_code, str(error.detail)), headers)


def _allowed(request: Request) -> str:
    """The methods of every route of this path (RFC 9110 section 15.5.6); the framework knows only its first one's."""
    routes: list[Route] = request.app.state.routes
    matching = (each for each in routes if each.path_regex.match(request.scope["path"]))
    methods = {method for each in matching for method in each.methods or ()}
    if "GET" in methods:
        methods.add("HEAD")  # the gateway asks with GET and leaves the body away
    return ", ".join(sorted(methods))
