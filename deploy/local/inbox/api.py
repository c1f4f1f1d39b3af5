"""The HTTP side: what arrived, newest first. Reached through the gateway like every service."""

from typing import Annotated

from fastapi import Query, Request, Response

from deploy.local.inbox.message import content
from deploy.local.inbox.store import Mailbox, Summary
from libs.common.errors import NotFoundError
from libs.common.web import Page, PageNumber, PageSize, PathId, ResponseModel, requires, router

routes = router()

READ = [requires("emails:read")]


class InboxMessageSummary(ResponseModel):
    """A message in the list; `rcpt_to` is the envelope, not the To header."""

    id: int
    received_at: str
    mail_from: str
    rcpt_to: list[str]
    message_id: str | None
    subject: str | None


class InboxMessage(InboxMessageSummary):
    """A message with its readable parts; a repeated header has one value a line."""

    headers: dict[str, str]
    html: str | None
    text: str | None


@routes.get("/api/local-inbox", response_model=Page[InboxMessageSummary], dependencies=READ)
async def list_local_inbox(
    request: Request,
    to: Annotated[str | None, Query(max_length=320)] = None,
    page: PageNumber = 1,
    page_size: PageSize = 20,
) -> Page[InboxMessageSummary]:
    """Messages that the bundled inbox took, newest first."""
    found, total = _mailbox(request).page(to, page, page_size)
    return Page(data=[_shown(each) for each in found], total=total, page=page, page_size=page_size)


@routes.get("/api/local-inbox/{id}", response_model=InboxMessage, dependencies=READ)
async def get_local_inbox_message(request: Request, id: PathId) -> InboxMessage:
    """One message with its readable parts."""
    summary, raw = _kept(request, id)
    parts = content(raw)
    return InboxMessage(**_shown(summary).model_dump(), headers=dict(parts.headers), html=parts.html, text=parts.text)


@routes.get(
    "/api/local-inbox/{id}/raw",
    response_class=Response,
    responses={200: {"description": "The message", "content": {"message/rfc822": {"schema": {"type": "string"}}}}},
    dependencies=READ,
)
async def get_local_inbox_message_raw(request: Request, id: PathId) -> Response:
    """One message as it came over the wire."""
    _, raw = _kept(request, id)
    return Response(raw, media_type="message/rfc822")


def _kept(request: Request, id: int) -> tuple[Summary, bytes]:
    found = _mailbox(request).get(id)
    if found is None:
        raise NotFoundError(f"The inbox has no message {id}: it never had, or newer ones took its place.")
    return found


def _mailbox(request: Request) -> Mailbox:
    mailbox: Mailbox = request.app.state.mailbox
    return mailbox


def _shown(summary: Summary) -> InboxMessageSummary:
    return InboxMessageSummary(
        id=summary.id,
        received_at=summary.received_at,
        mail_from=summary.mail_from,
        rcpt_to=summary.rcpt_to,
        message_id=summary.message_id,
        subject=summary.subject,
    )
