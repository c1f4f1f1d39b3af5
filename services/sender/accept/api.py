"""`POST /api/emails`. The other routes of emails that this service will own answer 404 until they exist."""

import asyncio
from typing import Annotated, Literal
from uuid import UUID

import orjson
from fastapi import Request, Response

from libs.common.errors import InvalidError
from libs.common.web import (
    OFF_LOOP_BYTES,
    POSITION_HEADER,
    ResponseModel,
    check_json,
    problems,
    request_id_of,
    requires,
    router,
)
from libs.common.web.principal import Principal
from services.sender.accept.accept_email import AcceptDeps, accept_email
from services.sender.accept.body import read_send_body
from services.sender.accept.metrics import ACCEPTED

emails = router()

_KEY = "idempotency-key"


class SentEmail(ResponseModel):
    """The email as accepted. `provider_message_id` is known once a relay has taken it: see `GET /emails/{id}`."""

    id: UUID
    status: Literal["queued", "captured"]
    provider_message_id: str | None
    provider_id: int | None
    suppressed: list[str]
    suggestion: str | None = None
    """Only of an email that no provider takes: how to have it delivered."""


EXAMPLE = {
    "from": "Shop <hello@shop.example>",
    "to": ["you@example.com"],
    "subject": "Your order",
    "html": '<p>It is on its way: <a href="https://shop.example/orders/1">follow it</a>.</p>',
    "text": "It is on its way: https://shop.example/orders/1",
    "tags": ["orders"],
    "track_opens": True,
    "track_clicks": True,
}


@emails.post(
    "/api/emails",
    status_code=201,
    response_model=SentEmail,
    responses=problems(409),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/SendEmail"}, "example": EXAMPLE}},
        }
    },
)
async def send_email(request: Request, caller: Annotated[Principal, requires("emails:send")]) -> Response:
    """Accept an email and deliver it. 201 means: it is on disk, and owed a delivery or a reason."""
    # The body is read by hand: FastAPI's way through dicts costs as much as everything else here together.
    check_json(request)
    if _KEY in request.headers:
        raise InvalidError([("Idempotency-Key", "is not available yet")])
    deps: AcceptDeps = request.app.state.accept
    raw = await request.body()
    command = read_send_body(raw) if len(raw) <= OFF_LOOP_BYTES else await asyncio.to_thread(read_send_body, raw)
    accepted = await accept_email(deps, command, actor=caller.actor(), request_id=request_id_of(request))
    ACCEPTED.labels(accepted.status).inc()
    body: dict[str, object] = {
        "id": str(accepted.email_id),
        "status": accepted.status,
        "provider_message_id": None,
        "provider_id": accepted.provider_id,
        "suppressed": [],
    }
    if accepted.suggestion is not None:
        body["suggestion"] = accepted.suggestion
    position = {POSITION_HEADER: f"email={accepted.sequence}"}
    return Response(orjson.dumps(body), status_code=201, media_type="application/json", headers=position)
