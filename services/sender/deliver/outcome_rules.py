"""One attempt, one fact: folded from what the relay said about each recipient."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.facts.email import (
    EmailBounced,
    EmailDeferred,
    EmailFact,
    EmailFailed,
    EmailSent,
    EmailUnknown,
    RecipientOutcome,
)
from libs.common.relay.port import SendResult
from services.sender.deliver.attempt_rules import Attempt

GAVE_UP = "gave_up"

OUTCOMES = frozenset({"sent", "deferred", "unknown", "bounced", "failed"})
"""The events that end an attempt."""
ENDS = OUTCOMES | {"rerouted"}
"""The events that end an attempt at one provider."""


_TOO_MANY = frozenset({(452, None), (452, "4.5.3"), (552, "5.5.3")})
"""Basic and enhanced codes of "too many recipients"; 552 is how RFC 821 wrote it."""


@dataclass(frozen=True, slots=True)
class Tried:
    """The part that all outcomes of an attempt share. `retry_at`: the time of the next attempt, None to give up.

    `home_id` is whose mail it is: the next attempt is made there, unless this one's outcome is unknown. `ended_at` is
    when the attempt was over.
    """

    attempt: Attempt
    retry_at: datetime | None
    duration_ms: int | None = None
    reason: str | None = None
    home_id: int | None = None
    ended_at: datetime | None = None


def concluded(
    tried: Tried,
    outcomes: Sequence[RecipientOutcome],
    *,
    provider_message_id: str | None = None,
    captured: bool = False,
) -> EmailSent | EmailDeferred | EmailBounced | EmailFailed:
    """The attempt's fact when every recipient has an outcome; those still pending fail when it is given up."""
    pending = any(each.outcome == "deferred" for each in outcomes)
    if pending and tried.retry_at is None:
        outcomes = [_given_up(each) if each.outcome == "deferred" else each for each in outcomes]
        return concluded(
            replace(tried, reason=GAVE_UP), outcomes, provider_message_id=provider_message_id, captured=captured
        )
    kinds = {each.outcome for each in outcomes}
    again_at = tried.ended_at if tried.ended_at is not None and _too_many_at_once(outcomes) else tried.retry_at
    common = _common(tried, outcomes, again_at if pending else None)
    if "accepted" in kinds:
        return EmailSent(provider_message_id=provider_message_id, captured=captured, **common)
    if pending:
        return EmailDeferred(**common)
    if "bounced" in kinds:
        return EmailBounced(origin="session", **common)
    return EmailFailed(**common)


def of_recipients(result: SendResult) -> list[RecipientOutcome]:
    """The relay's answer for each recipient, as stored in the fact."""
    return [
        RecipientOutcome(
            address=each.address,
            outcome=each.outcome,
            smtp_code=each.smtp_code,
            enhanced_status=each.enhanced_status,
            text=each.text,
            provider_message_id=each.provider_message_id,
        )
        for each in result.recipients
    ]


def everybody(recipients: Sequence[str], outcome: str, text: str, **codes: Any) -> list[RecipientOutcome]:
    """The same outcome for all."""
    return [
        RecipientOutcome.model_validate({"address": address, "outcome": outcome, "text": text, **codes})
        for address in recipients
    ]


def unknown(
    tried: Tried, recipients: Sequence[str], *, stage: str, policy: str, text: str
) -> EmailUnknown | EmailFailed:
    """The answer never came. `retry` tries again at `tried.retry_at`; `hold` leaves it to a person."""
    if policy == "retry" and tried.retry_at is None:
        given_up = everybody(recipients, "failed", f"Given up; the last attempt's outcome is unknown: {text}")
        return EmailFailed(**_common(replace(tried, reason=GAVE_UP), given_up, None))
    next_at = tried.retry_at if policy == "retry" else None
    outcomes = everybody(recipients, "unknown", text)
    tried = replace(tried, home_id=None)
    return EmailUnknown.model_validate(
        {**_common(replace(tried, reason=stage), outcomes, next_at), "stage": stage, "policy": policy}
    )


def failed(tried: Tried, recipients: Sequence[str], *, reason: str, text: str) -> EmailFailed:
    """Over, and it is not an address that is at fault."""
    return EmailFailed(**_common(replace(tried, reason=reason), everybody(recipients, "failed", text), None))


def ended_at(event: str, data: Mapping[str, Any]) -> int | None:
    """The provider at which one of `ENDS` ended an attempt; None for a fact that has no attempt."""
    provider_id = data.get("from_provider_id" if event == "rerouted" else "provider_id")
    return None if provider_id is None or "attempt" not in data else int(provider_id)


def next_attempt(attempt: Attempt, fact: EmailFact | dict[str, Any]) -> Attempt | None:
    """The attempt that an outcome asks for, if any: for those it left pending, at its own `next_at`.

    After an unknown outcome every further one stays with that provider: if it has the message after all, another
    one's copy would be a second one.
    """
    data = fact.model_dump(mode="json") if isinstance(fact, EmailFact) else fact
    if data.get("next_at") is None:
        return None
    left = tuple(each["address"] for each in data["recipients"] if each["outcome"] in ("deferred", "unknown"))
    pinned = attempt.pinned or any(each["outcome"] == "unknown" for each in data["recipients"])
    return Attempt(
        email_id=UUID(str(data["email_id"])),
        number=attempt.number + 1,
        provider_id=int(data.get("next_provider_id") or attempt.provider_id),
        lane=attempt.lane,
        due_at=datetime.fromisoformat(data["next_at"]),
        accepted_at=attempt.accepted_at,
        accepted_sequence=attempt.accepted_sequence,
        pending=left,
        pinned=pinned,
    )


def _common(tried: Tried, outcomes: Sequence[RecipientOutcome], next_at: datetime | None) -> dict[str, Any]:
    attempt = tried.attempt
    leaves = next_at is not None and not attempt.pinned and tried.home_id != attempt.provider_id
    return {
        "email_id": attempt.email_id,
        "attempt": attempt.number,
        "provider_id": attempt.provider_id,
        "recipients": list(outcomes),
        "next_at": next_at,
        "next_provider_id": tried.home_id if leaves else None,
        "reason": tried.reason,
        "duration_ms": tried.duration_ms,
    }


def _too_many_at_once(outcomes: Sequence[RecipientOutcome]) -> bool:
    """True if the remaining recipients merely did not fit into one transaction (RFC 5321 section 4.5.3.1.10).

    Someone has to have been accepted, or a relay that always says so would be asked without a pause.
    """
    left = [each for each in outcomes if each.outcome == "deferred"]
    crowded = all((each.smtp_code, each.enhanced_status) in _TOO_MANY for each in left)
    return crowded and any(each.outcome == "accepted" for each in outcomes)


def _given_up(outcome: RecipientOutcome) -> RecipientOutcome:
    return outcome.model_copy(update={"outcome": "failed"})
