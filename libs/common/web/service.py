"""The definition of a service's application: name, routes and their dependencies."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from libs.common.jetstream.views import View
from libs.common.web.principal import Principal

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

DEFAULT_MAX_BODY = 1 * 2**20


def _nothing() -> list[str]:
    return []


@dataclass(frozen=True, slots=True)
class Shortcut:
    """A hot route that is taken without the framework's way to it (a quarter of what accepting an email costs).

    The same function is a route of a router too, for its description: `endpoint(request, caller)` gives the response.
    """

    method: str
    path: str
    required_scope: str
    endpoint: Callable[[Request, Principal], Awaitable[Response]]


@dataclass(frozen=True)
class Service:
    """What makes one service's application.

    `waiting_for` names what is missing before it can serve, `degraded` what is away that it can do without for a
    while; `serves_degraded` keeps `/readyz` at 200 then. `views` are waited for by `Temps-Position`.
    """

    name: str
    routers: Sequence[APIRouter]
    principal_key: bytes = field(repr=False)
    views: Mapping[str, View] = field(default_factory=dict)
    waiting_for: Callable[[], list[str]] = _nothing
    degraded: Callable[[], list[str]] = _nothing
    serves_degraded: bool = False
    state: Mapping[str, object] = field(default_factory=dict)
    max_body: int = DEFAULT_MAX_BODY
    shortcuts: Sequence[Shortcut] = ()
    described: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """OpenAPI paths of routes that the framework does not know."""
    models: Sequence[type[BaseModel]] = ()
    """Bodies that a route reads by itself, for the description."""
    version: str = "0.1.0"
