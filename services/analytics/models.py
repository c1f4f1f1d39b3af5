"""The answers of this service."""

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from libs.common.web import ResponseModel

EventType = Literal["open", "click", "delivery", "bounce", "complaint"]
Status = Literal["queued", "scheduled", "sent", "delivered", "bounced", "failed", "captured", "cancelled", "suppressed"]
TagShown = str | dict[str, str]


class EmailRecipient(ResponseModel):
    """One of the people an email is for. `detail` says what the relay said last, also while `queued`."""

    address: str
    kind: Literal["to", "cc", "bcc"]
    status: Status
    smtp_code: int | None
    enhanced_status: str | None
    detail: str | None
    at: datetime


class EmailSummary(ResponseModel):
    """An email as lists show it, without its bodies."""

    id: UUID
    domain_id: int | None
    provider_id: int | None
    from_address: str
    from_name: str | None
    to_addresses: list[str]
    cc_addresses: list[str]
    bcc_addresses: list[str]
    reply_to: list[str]
    subject: str
    tags: list[TagShown]
    metadata: dict[str, str]
    status: Status
    recipients: list[EmailRecipient]
    provider_message_id: str | None
    error_message: str | None
    attempts: int
    scheduled_at: datetime | None
    sent_at: datetime | None
    delivered_at: datetime | None
    created_at: datetime
    track_opens: bool
    track_clicks: bool
    open_count: int
    click_count: int
    first_opened_at: datetime | None
    first_clicked_at: datetime | None


class Email(EmailSummary):
    """An email with its bodies; they are null once `content_expires_at` has passed, or while they cannot be read."""

    html_body: str | None = Field(description="As submitted")
    tracked_html_body: str | None = Field(description="As sent; null when not tracked")
    text_body: str | None
    headers: dict[str, str] | None
    attachments: list[dict[str, Any]]
    content_expires_at: datetime | None


class EmailStats(ResponseModel):
    """Each email once, under its status; they add up to `total`."""

    total: int
    queued: int
    scheduled: int
    sent: int
    delivered: int
    bounced: int
    failed: int
    captured: int
    cancelled: int
    suppressed: int


class TrackedLink(ResponseModel):
    """A link that was rewritten."""

    link_index: int
    original_url: str
    click_count: int
    unique_clicks: int


class EmailTracking(ResponseModel):
    """What came back for one email. `unique_*` are distinct ip addresses; hits of machines are counted apart."""

    email_id: UUID
    track_opens: bool
    track_clicks: bool
    open_count: int
    click_count: int
    unique_opens: int
    unique_clicks: int
    machine_opens: int
    machine_clicks: int
    first_opened_at: datetime | None
    first_clicked_at: datetime | None
    links: list[TrackedLink]


class TrackingEvent(ResponseModel):
    """One thing that came back. `recipient` is null for a hit on a message to several people."""

    id: UUID
    email_id: UUID
    event_type: EventType
    recipient: str | None
    link_index: int | None
    link_url: str | None
    ip_address: str | None
    user_agent: str | None
    machine: bool
    machine_reason: str | None
    detail: str | None
    created_at: datetime


class TrackingEventPage(ResponseModel):
    """One page of events: `page` counts from 1."""

    events: list[TrackingEvent]
    total: int
    page: int
    page_size: int


class TrackingStats(ResponseModel):
    """Emails, not events. Rates are percentages, null when there is nothing to divide by."""

    delivered: int
    opened: int
    clicked: int
    bounced: int
    complained: int
    open_rate: float | None
    click_rate: float | None
    bounce_rate: float | None
    complaint_rate: float | None


class TimelineEntry(ResponseModel):
    """One fact of an email."""

    id: str
    sequence: int
    stream: str
    type: str
    time: datetime
    actor: dict[str, Any] | None
    data: dict[str, Any]


class AuditActor(ResponseModel):
    """Who did it. `kind` is `key`, `session`, `anonymous`, or `system` (a part of this system); `id` names it."""

    kind: str
    id: str
    name: str | None = Field(description="The name it had then: a key's, a user's, or the part's own")


class AuditEntry(ResponseModel):
    """One change. `details` depends on the operation; values of secrets are never in it."""

    id: UUID
    operation_type: str
    actor: AuditActor
    ip_address: str | None
    user_agent: str | None
    details: dict[str, Any]
    created_at: datetime
