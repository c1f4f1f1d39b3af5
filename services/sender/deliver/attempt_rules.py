"""One attempt as the queue hands it out: the first is the accepted fact itself, later ones come from a schedule.

A schedule's body holds all that is needed to know what is due; the email itself is read from the log by sequence.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from libs.common.facts import Envelope, timestamp
from libs.common.jetstream.streams import EVENTS

PARKED = timedelta(seconds=30)
"""How long an attempt that has to stay with a closed provider makes room for others."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The `number`-th try (from 1) at a provider. `pending` is None for the first: everybody.

    `tried` are the providers that this very number has been at before. `pinned`: somebody's outcome at this provider
    is unknown, so another one must not send it as well.
    """

    email_id: UUID
    number: int
    provider_id: int
    lane: str
    due_at: datetime
    accepted_at: datetime
    accepted_sequence: int
    pending: tuple[str, ...] | None = None
    tried: tuple[int, ...] = ()
    pinned: bool = False

    @property
    def key(self) -> tuple[UUID, int, int]:
        """Two messages with the same key are two copies of the same work."""
        return self.email_id, self.number, self.provider_id

    @property
    def outcome_since(self) -> datetime:
        """When its outcome was written at the earliest: of a parked attempt there may be a copy that was due before."""
        return self.due_at - PARKED if self.pinned else self.due_at

    def body(self) -> dict[str, Any]:
        """The body of a schedule message; provider and lane are in its target subject."""
        return {
            "email_id": str(self.email_id),
            "attempt": self.number,
            "due_at": timestamp(self.due_at),
            "accepted_at": timestamp(self.accepted_at),
            "accepted_sequence": self.accepted_sequence,
            "pending": list(self.pending) if self.pending is not None else None,
            "tried": list(self.tried),
            "pinned": self.pinned,
        }

    def moved(self, rerouted: Envelope) -> "Attempt":
        """The same at the provider that an `email.rerouted` names; the same again whenever it is asked."""
        return replace(
            self,
            provider_id=int(rerouted.data["provider_id"]),
            due_at=rerouted.at,
            tried=tuple(rerouted.data.get("tried") or (self.provider_id,)),
        )


def recipients(attempt: Attempt, accepted: Envelope) -> tuple[str, ...]:
    """Whom an attempt is for: everybody, unless some of them have their outcome already."""
    if attempt.pending is not None:
        return attempt.pending
    return tuple(each["address"] for each in accepted.data["recipients"])


def home_id(accepted: Envelope) -> int:
    """The provider that was responsible when the email was accepted, even if another took its place then."""
    return int(accepted.data["route"].get("home_provider_id") or accepted.data["provider_id"])


class NotAnAttempt(ValueError):
    """The message is none of this system's."""


def first_attempt(accepted: Envelope, *, provider_id: int, lane: str) -> Attempt:
    """The attempt that an accepted fact is. Raises NotAnAttempt."""
    try:
        at = accepted.at
        email_id = UUID(accepted.data["email_id"])
    except (KeyError, TypeError, ValueError) as error:
        raise NotAnAttempt(repr(error)) from error
    return Attempt(email_id, 1, provider_id, lane, at, at, accepted.sequence)


def scheduled_attempt(body: Mapping[str, Any], *, provider_id: int, lane: str) -> Attempt:
    """The attempt that a schedule's body names; older ones do without `tried` and `pinned`. Raises NotAnAttempt."""
    try:
        pending = body["pending"]
        return Attempt(
            email_id=UUID(body["email_id"]),
            number=int(body["attempt"]),
            provider_id=provider_id,
            lane=lane,
            due_at=datetime.fromisoformat(body["due_at"]),
            accepted_at=datetime.fromisoformat(body["accepted_at"]),
            accepted_sequence=int(body["accepted_sequence"]),
            pending=tuple(pending) if pending is not None else None,
            tried=tuple(int(each) for each in body.get("tried", ())),
            pinned=bool(body.get("pinned", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise NotAnAttempt(repr(error)) from error


def source_sequence(header: str) -> int:
    """The sequence in MAIL_EVENTS that a queued copy came from: `Nats-Stream-Source` is `<stream> <sequence> …`.

    0 when it names another stream or nothing.
    """
    stream, _, rest = header.partition(" ")
    number = rest.partition(" ")[0]
    return int(number) if stream == EVENTS and number.isdigit() else 0


def queue_position(subject: str) -> tuple[int, str]:
    """Provider and lane of `queue.ready.<provider>.<lane>`. Raises NotAnAttempt."""
    tokens = subject.split(".")
    if len(tokens) != 4 or not tokens[2].isdigit():
        raise NotAnAttempt(subject)
    return int(tokens[2]), tokens[3]
