"""Emails and their recipients: what was submitted, how far each recipient got, and how many emails have which status.

Every column is the same whatever the order of the facts: a recipient's state is the highest of (rank, sequence),
times are minima, attempts a maximum. What comes before its email waits in a row without `created_at`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from libs.common.facts import Envelope
from services.analytics.emails.status_rules import CAPTURED, DELIVERED, OF_OUTCOME, QUEUED, RANK, SENT, settles
from services.analytics.emails.tag_rules import tag_keys
from services.analytics.text_rules import clean

NAME = "emails"

STAGES: Mapping[str, tuple[str, ...]] = {
    "stage_emails": (
        "email_id",
        "created_at",
        "domain_id",
        "provider_id",
        "provider_sequence",
        "from_address",
        "subject",
        "tags",
        "submitted",
        "attempts",
        "sent_at",
        "delivered_at",
        "provider_message_id",
        "message_sequence",
    ),
    "stage_recipients": (
        "email_id",
        "address",
        "position",
        "kind",
        "name",
        "status",
        "rank",
        "sequence",
        "smtp_code",
        "enhanced_status",
        "detail",
        "at",
    ),
}

SUBMITTED = (
    "route",
    "from_name",
    "reply_to",
    "tags",
    "metadata",
    "content",
    "has_html",
    "has_text",
    "track_opens",
    "track_clicks",
    "pixel",
)
"""Members that only the detail shows; they are stored in one JSON column."""


@dataclass(slots=True)
class _Email:
    created_at: str | None = None
    domain_id: int | None = None
    provider_id: int | None = None
    provider_sequence: int = -1
    from_address: str | None = None
    subject: str | None = None
    tags: list[str] | None = None
    submitted: str | None = None
    attempts: int = 0
    sent_at: str | None = None
    delivered_at: str | None = None
    provider_message_id: str | None = None
    message_sequence: int = -1


@dataclass(slots=True)
class _Recipient:
    position: int | None = None
    kind: str | None = None
    name: str | None = None
    status: str = QUEUED
    rank: int = 0
    sequence: int = -1
    smtp_code: int | None = None
    enhanced_status: str | None = None
    detail: str | None = None
    at: str | None = None


@dataclass(slots=True)
class _Batch:
    emails: dict[str, _Email]
    recipients: dict[tuple[str, str], _Recipient]

    def email(self, email_id: str) -> _Email:
        row = self.emails.get(email_id)
        if row is None:
            row = self.emails[email_id] = _Email()
        return row

    def recipient(self, email_id: str, address: str) -> _Recipient:
        row = self.recipients.get((email_id, address))
        if row is None:
            row = self.recipients[email_id, address] = _Recipient()
        return row


def fold(facts: Sequence[Envelope]) -> Mapping[str, list[tuple[Any, ...]]]:
    """One row per email and one per recipient that the batch says anything about."""
    batch = _Batch({}, {})
    for fact in facts:
        apply = _APPLY.get(fact.type)
        if apply is not None:
            apply(batch, fact, fact.data)
    return {
        "stage_emails": [
            (
                email_id,
                row.created_at,
                row.domain_id,
                row.provider_id,
                row.provider_sequence,
                row.from_address,
                row.subject,
                row.tags,
                row.submitted,
                row.attempts,
                row.sent_at,
                row.delivered_at,
                row.provider_message_id,
                row.message_sequence,
            )
            for email_id, row in batch.emails.items()
        ],
        "stage_recipients": [
            (
                email_id,
                address,
                row.position,
                row.kind,
                row.name,
                row.status,
                row.rank,
                row.sequence,
                row.smtp_code,
                row.enhanced_status,
                row.detail,
                row.at,
            )
            for (email_id, address), row in batch.recipients.items()
        ],
    }


def _submitted(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    email_id = data["email_id"]
    email = batch.email(email_id)
    if email.created_at is not None:  # the same email again: the first stands
        return
    email.created_at = fact.time
    email.domain_id = data["domain_id"]
    if email.provider_sequence < 0:
        email.provider_id, email.provider_sequence = data["provider_id"], 0
    email.from_address = data["from_address"]
    email.subject = clean(data["subject"])
    email.tags = tag_keys(data["tags"]) or None
    email.submitted = orjson.dumps({name: data.get(name) for name in SUBMITTED}).decode()
    status = CAPTURED if fact.type == "email.captured.v1" else QUEUED
    why = clean((data.get("route") or {}).get("detail")) if status == CAPTURED else None
    for position, person in enumerate(data["recipients"]):
        row = batch.recipient(email_id, person["address"])
        if row.position is None:
            row.position, row.kind, row.name = position, person["kind"], clean(person.get("name"))
            if _settle(row, status, 0, fact.time):
                row.detail = why


def _attempted(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    email_id, sequence, at = data["email_id"], fact.sequence, fact.time
    email = batch.email(email_id)
    email.attempts = max(email.attempts, data["attempt"])
    taken = SENT
    if fact.type == "email.sent.v1":
        email.sent_at = _earlier(email.sent_at, at)
        if sequence > email.message_sequence:
            email.provider_message_id = clean(data.get("provider_message_id"))
            email.message_sequence = sequence
        if data.get("captured"):
            taken = CAPTURED
    why = data.get("reason") or data.get("stage")
    if settles(data) and sequence > email.provider_sequence:
        email.provider_id, email.provider_sequence = data["provider_id"], sequence
    for said in data["recipients"]:
        status = OF_OUTCOME.get(said["outcome"], QUEUED)
        row = batch.recipient(email_id, said["address"])
        if _settle(row, taken if status == SENT else status, sequence, at):
            row.smtp_code = said.get("smtp_code")
            row.enhanced_status = clean(said.get("enhanced_status"))
            row.detail = clean(said.get("text") or why)


def _delivered(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    email_id = data["email_id"]
    email = batch.email(email_id)
    email.delivered_at = _earlier(email.delivered_at, fact.time)
    for address in data["recipients"]:
        row = batch.recipient(email_id, address)
        if _settle(row, DELIVERED, fact.sequence, fact.time):
            row.detail = clean(data.get("detail"))


def _rerouted(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    email = batch.email(data["email_id"])
    if fact.sequence > email.provider_sequence:
        email.provider_id, email.provider_sequence = data["provider_id"], fact.sequence


_APPLY: Mapping[str, Callable[[_Batch, Envelope, Mapping[str, Any]], None]] = {
    "email.accepted.v1": _submitted,
    "email.captured.v1": _submitted,
    "email.sent.v1": _attempted,
    "email.deferred.v1": _attempted,
    "email.unknown.v1": _attempted,
    "email.bounced.v1": _attempted,
    "email.failed.v1": _attempted,
    "email.delivered.v1": _delivered,
    "email.rerouted.v1": _rerouted,
}


def _settle(row: _Recipient, status: str, sequence: int, at: str) -> bool:
    """Take the new state, as yet without details, if it stands above the one there is."""
    rank = RANK[status]
    if (rank, sequence) <= (row.rank, row.sequence):
        return False
    row.status, row.rank, row.sequence, row.at = status, rank, sequence, at
    row.smtp_code = row.enhanced_status = row.detail = None
    return True


def _earlier(known: str | None, at: str) -> str:
    return at if known is None or at < known else known
