"""From rows to answers."""

from datetime import datetime
from typing import Any

from services.analytics.emails.tag_rules import tag_shown
from services.analytics.events.read_tracking import headline
from services.analytics.models import (
    AuditActor,
    AuditEntry,
    Email,
    EmailRecipient,
    EmailSummary,
    TimelineEntry,
    TrackingEvent,
)

_EXPLAINED = frozenset({"queued", "failed", "bounced"})


def summary(row: dict[str, Any], *, count_machines: bool) -> EmailSummary:
    """An email of a list."""
    return EmailSummary.model_construct(**_common(row, count_machines=count_machines))


def email(row: dict[str, Any], *, count_machines: bool) -> Email:
    """An email with what could be read of its content."""
    content, expires_at = row["content"], row["submitted"]["content"]["expires_at"]
    return Email.model_construct(
        **_common(row, count_machines=count_machines),
        html_body=content.html if content else None,
        tracked_html_body=content.tracked_html if content else None,
        text_body=content.text if content else None,
        headers=dict(content.headers) if content else None,
        attachments=[],
        content_expires_at=datetime.fromisoformat(expires_at) if expires_at else None,
    )


def event(row: dict[str, Any]) -> TrackingEvent:
    """Any event."""
    return TrackingEvent.model_construct(**row)


def entry(row: dict[str, Any]) -> TimelineEntry:
    """A fact of a timeline."""
    return TimelineEntry.model_construct(**row)


def audit_entry(row: dict[str, Any]) -> AuditEntry:
    """A change; a part of the system has no name but its id."""
    caller = row["caller"] or {}
    name = row["actor"] if row["kind"] == "system" else row["name"]
    return AuditEntry.model_construct(
        id=row["id"],
        operation_type=row["operation"],
        actor=AuditActor.model_construct(kind=row["kind"], id=row["actor"], name=name),
        ip_address=caller.get("ip"),
        user_agent=caller.get("user_agent"),
        details=row["details"],
        created_at=row["created_at"],
    )


def _common(row: dict[str, Any], *, count_machines: bool) -> dict[str, Any]:
    submitted, people = row["submitted"], row["recipients"]
    addresses: dict[str, list[str]] = {"to": [], "cc": [], "bcc": []}
    for person in people:
        addresses[person["kind"]].append(person["address"])
    return {
        "id": row["email_id"],
        "domain_id": row["domain_id"],
        "provider_id": row["provider_id"],
        "from_address": row["from_address"],
        "from_name": submitted["from_name"],
        "to_addresses": addresses["to"],
        "cc_addresses": addresses["cc"],
        "bcc_addresses": addresses["bcc"],
        "reply_to": [_party(party) for party in submitted["reply_to"]],
        "subject": row["subject"],
        "tags": [tag_shown(tag) for tag in submitted["tags"]],
        "metadata": submitted["metadata"],
        "status": row["status"],
        "recipients": [_recipient(person) for person in people],
        "provider_message_id": row["provider_message_id"],
        "error_message": _error_message(row["status"], row["provider_id"], people),
        "attempts": row["attempts"],
        "scheduled_at": None,
        "sent_at": row["sent_at"],
        "delivered_at": row["delivered_at"],
        "created_at": row["created_at"],
        "track_opens": submitted["track_opens"],
        "track_clicks": submitted["track_clicks"],
        **headline(row, count_machines=count_machines),
    }


def _recipient(person: dict[str, Any]) -> EmailRecipient:
    shown = ("address", "kind", "status", "smtp_code", "enhanced_status", "detail", "at")
    return EmailRecipient.model_construct(**{name: person[name] for name in shown})


def _party(party: dict[str, Any]) -> str:
    """As it may be written in a header: `Name <address>`."""
    if not party.get("name"):
        return str(party["address"])
    name = party["name"].replace("\\", "\\\\").replace('"', '\\"')
    quoted = f'"{name}"' if any(character in name for character in '()<>[]:;@\\,."') else name
    return f"{quoted} <{party['address']}>"


def _error_message(status: str, provider_id: int | None, people: list[dict[str, Any]]) -> str | None:
    """Why the email has not arrived, in the words about the first recipient that gave it its status.

    What the bundled inbox took has arrived; what no provider takes has not, though both are `captured`.
    """
    if status not in _EXPLAINED and not (status == "captured" and provider_id is None):
        return None
    return next((person["detail"] for person in people if person["status"] == status and person["detail"]), None)
