"""A hit: somebody loaded the pixel of an email, or followed one of its links; and the fact that it becomes."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from libs.common.facts import Envelope, timestamp
from libs.common.facts.email import EmailClicked, EmailOpened

SOURCE = "/services/tracking"


@dataclass(frozen=True, slots=True)
class Hit:
    """One hit. `fact_id` and `at` are set when it arrives, so that a replay publishes the same fact.

    `link_index` is None for an open. `at` is Unix time; `ip` and `user_agent` are what may be kept of them.
    """

    fact_id: str
    email_id: UUID
    link_index: int | None
    ip: str | None
    user_agent: str | None
    machine: bool
    machine_reason: str | None
    at: float
    request_id: str | None


def is_tracked(hit: Hit, accepted: Mapping[str, Any]) -> bool:
    """True if the email wants this recorded. `accepted` is the data of its first fact."""
    if hit.link_index is None:
        return bool(accepted["pixel"])
    return 0 <= hit.link_index < len(accepted["links"])


def fact_of(hit: Hit, accepted: Mapping[str, Any], causation_id: str) -> Envelope:
    """The fact of a tracked hit. Written out by hand: a validated model would cost more than publishing it.

    A test holds it to the models of libs.common.facts.email.
    """
    email_id = str(hit.email_id)
    data: dict[str, Any] = {
        "email_id": email_id,
        "ip_address": hit.ip,
        "user_agent": hit.user_agent,
        "machine": hit.machine,
        "machine_reason": hit.machine_reason,
    }
    model: type[EmailOpened | EmailClicked] = EmailOpened
    if hit.link_index is not None:
        model = EmailClicked
        data |= {"link_index": hit.link_index, "link_url": accepted["links"][hit.link_index]}
    return Envelope(
        id=hit.fact_id,
        source=SOURCE,
        type=model.TYPE,
        subject=f"email/{email_id}",
        time=timestamp(datetime.fromtimestamp(hit.at, UTC)),
        data=data,
        # Nobody known: who it was is in the fact itself, as far as it may be kept.
        actor={"id": "anonymous", "kind": "anonymous", "user_id": None, "ip": hit.ip, "user_agent": hit.user_agent},
        correlationid=hit.request_id,
        causationid=causation_id,
        log_subject=f"track.{email_id[-2:]}.{model.EVENT}",
    )


def to_record(hit: Hit) -> dict[str, Any]:
    """A hit as the spool keeps it."""
    return {
        "v": 1,
        "id": hit.fact_id,
        "email": str(hit.email_id),
        "link": hit.link_index,
        "ip": hit.ip,
        "ua": hit.user_agent,
        "machine": hit.machine,
        "reason": hit.machine_reason,
        "at": hit.at,
        "request": hit.request_id,
    }


def from_record(record: Mapping[str, Any]) -> Hit:
    """The same hit again. Raises KeyError, TypeError or ValueError for what is no record of ours."""
    return Hit(
        fact_id=record["id"],
        email_id=UUID(record["email"]),
        link_index=record["link"],
        ip=record["ip"],
        user_agent=record["ua"],
        machine=record["machine"],
        machine_reason=record["reason"],
        at=float(record["at"]),
        request_id=record["request"],
    )
