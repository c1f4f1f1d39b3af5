"""`/api/emails/{id}/track/*`: public, and quick whatever else is broken.

Plain ASGI endpoints: FastAPI's own would more than double what a hit costs (measured), and none of what it does is
wanted here. Any query is ignored, no answer is a problem document, and a hit is reported after it was answered.
"""

import asyncio
import re
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from libs.common.errors import UnavailableError
from libs.common.facts import Envelope, uuid7
from libs.common.web.principal import Principal
from services.tracking.hits.counters import count
from services.tracking.hits.hit_rules import Hit
from services.tracking.hits.limit_rules import VisitorLimit
from services.tracking.hits.location_rules import location
from services.tracking.hits.machine_rules import judge
from services.tracking.hits.pages import PIXEL, PIXEL_HEADERS, page, redirect
from services.tracking.hits.visitor_rules import IpMode, is_loopback, kept_ip, kept_user_agent
from services.tracking.ports import Accepted

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_LOOKUP_SECONDS = 2.0
_METHODS = ["GET", "HEAD"]


@dataclass(frozen=True, slots=True)
class Door:
    """The dependencies of the routes. `ip_key` hashes addresses; `take` never waits."""

    accepted: Accepted
    take: Callable[[Hit], None]
    visitors: VisitorLimit
    ip_mode: IpMode
    ip_key: bytes


def hit_routes(door: Door) -> APIRouter:
    """Both routes."""
    routes = APIRouter()
    routes.routes += [
        Route("/api/emails/{id}/track/open", Opens(door), methods=_METHODS, name="track_open"),
        Route("/api/emails/{id}/track/click/{n}", Clicks(door), methods=_METHODS, name="track_click"),
    ]
    return routes


@dataclass(frozen=True, slots=True)
class Opens:
    """The pixel, always; what it means is found out afterwards."""

    door: Door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI endpoint."""
        del receive
        await send({"type": "http.response.start", "status": 200, "headers": PIXEL_HEADERS})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else PIXEL})
        email_id = _email_id(scope)
        if email_id is not None and scope["method"] == "GET":
            _report(self.door, scope, email_id, None)


@dataclass(frozen=True, slots=True)
class Clicks:
    """To where the link led. The email tells, never the request."""

    door: Door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI endpoint."""
        email_id, index = _email_id(scope), scope["path_params"]["n"]
        answer = await _answer(self.door, email_id, index)
        await answer(scope, receive, send)
        if email_id is not None and answer.status_code == 302 and scope["method"] == "GET":
            _report(self.door, scope, email_id, int(index))


async def _answer(door: Door, email_id: UUID | None, index: str) -> Response:
    if email_id is None:
        return page(400)
    if not _INDEX.fullmatch(index):
        return page(404)
    try:
        accepted = await _accepted(door, email_id)
    except (TimeoutError, UnavailableError):
        return page(503)
    links = accepted.data["links"] if accepted is not None else []
    target = location(links[int(index)]) if int(index) < len(links) else None
    return page(404) if target is None else redirect(target)


async def _accepted(door: Door, email_id: UUID) -> Envelope | None:
    known = door.accepted.cached(email_id)
    if known is not None:
        return known
    async with asyncio.timeout(_LOOKUP_SECONDS):
        return await door.accepted.get(email_id)


def _email_id(scope: MutableMapping[str, Any]) -> UUID | None:
    text = scope["path_params"]["id"]
    return UUID(text) if _UUID.fullmatch(text) else None


def _report(door: Door, scope: MutableMapping[str, Any], email_id: UUID, link_index: int | None) -> None:
    principal: Principal = scope["temps.principal"]
    visitor = principal.ip
    if visitor is not None and not is_loopback(visitor) and not door.visitors.admits(visitor, time.monotonic()):
        count(link_index, "limited")
        return
    agent = kept_user_agent(principal.user_agent)
    judgement = judge(visitor, agent)
    door.take(
        Hit(
            fact_id=str(uuid7()),
            email_id=email_id,
            link_index=link_index,
            ip=kept_ip(visitor, door.ip_mode, email_id=email_id, key=door.ip_key),
            user_agent=agent,
            machine=judgement.machine,
            machine_reason=judgement.reason,
            at=time.time(),
            request_id=scope["temps.request_id"],
        )
    )
