"""Folds opens, clicks, deliveries, bounces and complaints into events and the platform's figures.

Each email carries a set of flags that facts can only add to, so neither order nor repetition matters; the figures are
the sums of what the flags mean. Hits of machines have flags and counts of their own: whether they count is decided by
who asks. Events whose email has not been read yet wait in `pending_hits`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid5

import orjson

from libs.common.facts import Envelope
from services.analytics.emails.status_rules import settles
from services.analytics.emails.tag_rules import tag_keys
from services.analytics.text_rules import clean

NAME = "tracking"

STAGES: Mapping[str, tuple[str, ...]] = {
    "stage_tracked": (
        "email_id",
        "created_at",
        "domain_id",
        "provider_id",
        "provider_sequence",
        "tags",
        "recipient",
        "links",
        "flags",
    ),
    "stage_events": (
        "id",
        "email_id",
        "sequence",
        "event_type",
        "recipient",
        "link_index",
        "link_url",
        "ip_address",
        "user_agent",
        "machine",
        "machine_reason",
        "detail",
        "created_at",
    ),
}

SENT: Final = 1
"""A receiving server or the bundled inbox accepted it."""
BOUNCED: Final = 2
COMPLAINED: Final = 4
OPENED: Final = 8
OPENED_BY_MACHINE: Final = 16
CLICKED: Final = 32
CLICKED_BY_MACHINE: Final = 64
PIXEL: Final = 128
"""A pixel was really put into it."""
LINKS: Final = 256
"""At least one link was really rewritten."""
TRACK_OPENS: Final = 512
"""Asked for, whether or not there was anything to put a pixel into."""
TRACK_CLICKS: Final = 1024


@dataclass(slots=True)
class _Tracked:
    created_at: str | None = None
    domain_id: int | None = None
    provider_id: int | None = None
    provider_sequence: int = -1
    tags: list[str] | None = None
    recipient: str | None = None
    links: str | None = None
    flags: int = 0


@dataclass(slots=True)
class _Batch:
    emails: dict[str, _Tracked]
    events: dict[str, tuple[Any, ...]]
    """By id: the first of several equal ones stands."""

    def email(self, email_id: str) -> _Tracked:
        row = self.emails.get(email_id)
        if row is None:
            row = self.emails[email_id] = _Tracked()
        return row


def fold(facts: Sequence[Envelope]) -> Mapping[str, list[tuple[Any, ...]]]:
    """One row per email that the batch says anything about, one per event."""
    batch = _Batch({}, {})
    for fact in facts:
        apply = _APPLY.get(fact.type)
        if apply is not None:
            apply(batch, fact, fact.data)
    return {
        "stage_tracked": [
            (
                email_id,
                row.created_at,
                row.domain_id,
                row.provider_id,
                row.provider_sequence,
                row.tags,
                row.recipient,
                row.links,
                row.flags,
            )
            for email_id, row in batch.emails.items()
        ],
        "stage_events": list(batch.events.values()),
    }


def _submitted(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    email = batch.email(data["email_id"])
    if email.created_at is not None:  # the same email again: the first stands
        return
    email.created_at = fact.time
    email.domain_id = data["domain_id"]
    if email.provider_sequence < 0:
        email.provider_id, email.provider_sequence = data["provider_id"], 0
    email.tags = tag_keys(data["tags"]) or None
    people = data["recipients"]
    if len(people) == 1:  # all recipients share one message: only a single one can have opened it
        email.recipient = people[0]["address"]
    if data.get("track_opens"):
        email.flags |= TRACK_OPENS
    if data.get("track_clicks"):
        email.flags |= TRACK_CLICKS
    if data.get("pixel"):
        email.flags |= PIXEL
    if data.get("links"):
        email.flags |= LINKS
        email.links = orjson.dumps(data["links"]).decode()


def _attempted(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    email_id = data["email_id"]
    flags = 0
    for said in data["recipients"]:
        if said["outcome"] == "accepted":
            flags |= SENT
        elif said["outcome"] == "bounced":
            flags |= BOUNCED
            _about(batch, fact, "bounce", said["address"], said.get("text") or data.get("reason"))
    if flags:
        batch.email(email_id).flags |= flags
    if settles(data):
        email = batch.email(email_id)
        if fact.sequence > email.provider_sequence:
            email.provider_id, email.provider_sequence = data["provider_id"], fact.sequence


def _delivered(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    batch.email(data["email_id"]).flags |= SENT
    for address in data["recipients"] or [None]:
        _about(batch, fact, "delivery", address, data.get("detail"))


def _complained(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    batch.email(data["email_id"]).flags |= COMPLAINED
    for address in data["recipients"] or [None]:
        _about(batch, fact, "complaint", address, data.get("detail"))


def _opened(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    batch.email(data["email_id"]).flags |= OPENED_BY_MACHINE if data.get("machine") else OPENED
    _hit(batch, fact, "open", data)


def _clicked(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    batch.email(data["email_id"]).flags |= CLICKED_BY_MACHINE if data.get("machine") else CLICKED
    _hit(batch, fact, "click", data)


def _rerouted(batch: _Batch, fact: Envelope, data: Mapping[str, Any]) -> None:
    email = batch.email(data["email_id"])
    if fact.sequence > email.provider_sequence:
        email.provider_id, email.provider_sequence = data["provider_id"], fact.sequence


_APPLY: Mapping[str, Callable[[_Batch, Envelope, Mapping[str, Any]], None]] = {
    "email.accepted.v1": _submitted,
    "email.captured.v1": _submitted,
    "email.sent.v1": _attempted,
    "email.deferred.v1": _attempted,
    "email.bounced.v1": _attempted,
    "email.failed.v1": _attempted,
    "email.delivered.v1": _delivered,
    "email.complained.v1": _complained,
    "email.opened.v1": _opened,
    "email.clicked.v1": _clicked,
    "email.rerouted.v1": _rerouted,
}


def _hit(batch: _Batch, fact: Envelope, event_type: str, data: Mapping[str, Any]) -> None:
    if fact.id not in batch.events:
        batch.events[fact.id] = (
            fact.id,
            data["email_id"],
            fact.sequence,
            event_type,
            None,
            data.get("link_index"),
            clean(data.get("link_url")),
            clean(data.get("ip_address")),
            clean(data.get("user_agent")),
            bool(data.get("machine")),
            data.get("machine_reason"),
            None,
            fact.time,
        )


def _about(batch: _Batch, fact: Envelope, event_type: str, address: str | None, detail: str | None) -> None:
    """One fact about several recipients is an event for each, with an id that is the same at each reading."""
    event_id = fact.id if address is None else str(uuid5(UUID(fact.id), address))
    if event_id not in batch.events:
        batch.events[event_id] = (
            event_id,
            fact.data["email_id"],
            fact.sequence,
            event_type,
            address,
            None,
            None,
            None,
            None,
            False,
            None,
            clean(detail),
            fact.time,
        )
