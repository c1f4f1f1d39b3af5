"""Routes that take nothing for granted: unknown parameters, wrong media types and missing scopes are refused."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from libs.common.errors import ForbiddenError, InvalidError, TempsError, UnauthorizedError
from libs.common.web.json_bodies import OFF_LOOP_BYTES, parse_json
from libs.common.web.principal import Principal

POSITION_HEADER = "Temps-Position"
_BODIES = frozenset({"POST", "PUT", "PATCH"})


def router() -> APIRouter:
    """A router whose routes are strict."""
    return APIRouter(route_class=StrictRoute)


class StrictRoute(APIRoute):
    """Refuses query parameters that the route does not declare (400) and bodies that are not JSON (415)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap FastAPI's handler."""
        handle = super().get_route_handler()
        allowed = _query_names(self.dependant)
        wants_json = self.body_field is not None

        async def strict(request: Request) -> Response:
            check_query(request, allowed)
            if wants_json:
                check_json(request)
                # Starlette keeps the parsed body here; ours knows what `json` lets through (NaN, lone surrogates).
                request._json = await read_json(request)  # noqa: SLF001 - as said
            return await handle(request)

        return strict


def check_query(request: Request, allowed: frozenset[str]) -> None:
    """Refuse unknown and repeated query parameters."""
    if request.scope["query_string"]:
        names = [name for name, _ in request.query_params.multi_items()]
        wrong = [(name, "is not a parameter of this route") for name in names if name not in allowed]
        wrong += [(name, "is given twice") for name in set(names) & allowed if names.count(name) > 1]
        if wrong:
            raise InvalidError(wrong)


def check_json(request: Request) -> None:
    """Refuse a body that does not say `application/json`."""
    content_type = request.headers.get("content-type", "")
    if request.method in _BODIES and content_type.partition(";")[0].strip().lower() != "application/json":
        raise TempsError(
            "The body must be JSON, with the header Content-Type: application/json.",
            slug="unsupported_media_type",
        )


async def read_json(request: Request) -> Any:
    """The request's body, parsed. Raises InvalidError."""
    body = await request.body()
    if len(body) > OFF_LOOP_BYTES:
        return await asyncio.to_thread(parse_json, body)
    return parse_json(body)


def caller_of(request: Request) -> Principal:
    """The caller, as signed by the gateway."""
    principal: Principal | None = request.scope.get("temps.principal")
    if principal is None:
        raise UnauthorizedError("This service answers only requests that came through the gateway.")
    return principal


def requires(scope: str | None = None) -> Any:
    """A dependency that yields the principal, if it has `scope`; without a scope anybody the gateway let in."""

    async def check(request: Request) -> Principal:
        principal = caller_of(request)
        if scope is not None and scope not in principal.scopes:
            raise missing(scope)
        return principal

    check.__name__ = f"requires_{scope or 'nothing'}"
    check.required_scope = scope  # type: ignore[attr-defined]  # read when the OpenAPI document is made
    return Depends(check)


def missing(scope: str) -> ForbiddenError:
    """The refusal of a caller who lacks a scope."""
    return ForbiddenError(f"This needs the permission {scope}.", extra={"required_permission": scope})


def request_id_of(request: Request) -> str:
    """The request's id: the correlation id of every fact it leads to."""
    return str(request.scope.get("temps.request_id", "-"))


def set_position(response: Response, set_name: str, sequence: int) -> None:
    """Tell the gateway how far the caller's later requests have to see."""
    known = response.headers.get(POSITION_HEADER)
    entry = f"{set_name}={sequence}"
    response.headers[POSITION_HEADER] = f"{known},{entry}" if known else entry


def required_scope(dependant: Dependant) -> str | None:
    """The scope that a route asks for, found among its dependencies."""
    for inner in dependant.dependencies:
        scope = getattr(inner.call, "required_scope", None) or required_scope(inner)
        if scope is not None:
            return str(scope)
    return None


def _query_names(dependant: Dependant) -> frozenset[str]:
    names = {parameter.alias for parameter in dependant.query_params}
    for inner in dependant.dependencies:
        names |= _query_names(inner)
    return frozenset(names)
