"""`/api/emails/{id}/track/*`: public, and quick whatever else is broken.

Plain Starlette routes, because FastAPI would double what a hit costs (200 against 100 µs, measured), and none of
what it does is wanted here: any query is ignored, and no answer is a problem document.
"""

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from libs.common.errors import UnavailableError
from libs.common.events import Envelope, uuid7
from libs.common.serve import caller_of, request_id_of
from services.tracking.api.pages import page, pixel, redirect
from services.tracking.domain.hits import Hit
from services.tracking.domain.limits import VisitorLimit
from services.tracking.domain.location import location
from services.tracking.domain.machines import judge
from services.tracking.domain.visitors import IpMode, is_loopback, kept_ip, kept_user_agent
from services.tracking.handlers.counters import count
from services.tracking.ports import Accepted

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}", re.ASCII)
_LOOKUP_SECONDS = 2.0
_METHODS = ["GET", "HEAD"]


@dataclass(frozen=True, slots=True)
class Door:
    """What the routes need. `ip_key` is for hashed addresses; `take` never waits."""

    accepted: Accepted
    take: Callable[[Hit], None]
    visitors: VisitorLimit
    ip_mode: IpMode
    ip_key: bytes


def hit_routes() -> APIRouter:
    """Both routes; the service's state holds a `door`."""
    routes = APIRouter()
    routes.add_route("/api/emails/{id}/track/open", track_open, methods=_METHODS, include_in_schema=False)
    routes.add_route("/api/emails/{id}/track/click/{n}", track_click, methods=_METHODS, include_in_schema=False)
    return routes


async def track_open(request: Request) -> Response:
    """The pixel, always; what it means is found out afterwards."""
    email_id = _email_id(request)
    if email_id is not None and request.method == "GET":
        _report(request, email_id, None)
    return pixel()


async def track_click(request: Request) -> Response:
    """To where the link led. The email tells, never the request."""
    email_id = _email_id(request)
    if email_id is None:
        return page(400)
    index = request.path_params["n"]
    if not _INDEX.fullmatch(index):
        return page(404)
    door: Door = request.app.state.door
    try:
        accepted = await _accepted(door, email_id)
    except (TimeoutError, UnavailableError):
        return page(503)
    links = accepted.data["links"] if accepted is not None else []
    target = location(links[int(index)]) if int(index) < len(links) else None
    if target is None:
        return page(404)
    if request.method == "GET":
        _report(request, email_id, int(index))
    return redirect(target)


async def _accepted(door: Door, email_id: UUID) -> Envelope | None:
    known = door.accepted.cached(email_id)
    if known is not None:
        return known
    async with asyncio.timeout(_LOOKUP_SECONDS):
        return await door.accepted.get(email_id)


def _email_id(request: Request) -> UUID | None:
    text = request.path_params["id"]
    return UUID(text) if _UUID.fullmatch(text) else None


def _report(request: Request, email_id: UUID, link_index: int | None) -> None:
    door: Door = request.app.state.door
    principal = caller_of(request)
    visitor = principal.ip
    if visitor is not None and not is_loopback(visitor) and not door.visitors.admits(visitor, time.monotonic()):
        count(link_index, "limited")
        return
    judgement = judge(visitor, principal.user_agent)
    door.take(
        Hit(
            fact_id=str(uuid7()),
            email_id=email_id,
            link_index=link_index,
            ip=kept_ip(visitor, door.ip_mode, email_id=email_id, key=door.ip_key),
            user_agent=kept_user_agent(principal.user_agent),
            machine=judgement.machine,
            machine_reason=judgement.reason,
            at=time.time(),
            request_id=request_id_of(request),
        )
    )
