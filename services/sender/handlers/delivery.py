"""One message of the queue in hand: what it is, what working on it needs, and how its outcome is written down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from libs.common.events import Envelope
from libs.common.events.email import EmailFact
from libs.common.events.provider import ProviderState
from services.sender.domain import outcome
from services.sender.domain.attempt import Attempt
from services.sender.domain.outcome import Tried
from services.sender.domain.retry import next_attempt_at
from services.sender.domain.suspicion import Handed
from services.sender.ports import Colleagues, Journal, Lease, Mailroom, Outlet


class RetryAt(Protocol):
    """`services.sender.domain.retry.next_attempt_at`."""

    def __call__(self, *, accepted_at: datetime, attempt: int, now: datetime, email_id: UUID) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """One message in hand. `accepted` is there for a first attempt: the queue's message is the fact itself.

    `untouched` says that this very worker had it before and knows that nothing was sent.
    """

    attempt: Attempt
    handed: Handed
    lease: Lease
    accepted: Envelope | None = None
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class DeliverDeps:
    """What delivering needs. `providers` are those that exist, `deleted` the last states of those that did."""

    journal: Journal
    mailroom: Mailroom
    providers: Mapping[int, ProviderState]
    deleted: Mapping[int, ProviderState]
    outlets: Mapping[int, Outlet]
    colleagues: Colleagues
    retry_at: RetryAt = next_attempt_at
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Finished:
    """`event` is the fact that was written, or what happened instead.

    `repeat`: it had been done before; `parked`: it comes again later; `handed_back`: it comes again to somebody else;
    `left`: it is not ours now, and the only one that is not to be acknowledged. `moved_to` and `because` say where a
    rerouted one went.
    """

    event: str
    moved_to: int | None = None
    because: str = ""

    @property
    def acknowledge(self) -> bool:
        """Whether the queue may forget the message."""
        return self.event != "left"


async def conclude(deps: DeliverDeps, work: Work, fact: EmailFact) -> Finished:
    """The fact first, then what it asks for; the acknowledgement is the caller's."""
    work.lease.decided()
    await deps.journal.record(fact, **causes(work))
    following = outcome.next_attempt(work.attempt, fact)
    if following is not None:
        await deps.journal.schedule(following)
    return Finished(fact.EVENT)


async def over(deps: DeliverDeps, work: Work, *, reason: str, text: str) -> Finished:
    """Given up for everybody who is still owed a try."""
    fact = outcome.failed(tried(deps, work), await pending(deps, work), reason=reason, text=text)
    return await conclude(deps, work, fact)


async def pending(deps: DeliverDeps, work: Work) -> tuple[str, ...]:
    """Who is owed a try; nobody when the log has lost the email."""
    if work.attempt.pending is not None:
        return work.attempt.pending
    accepted = work.accepted or await deps.mailroom.accepted(work.attempt)
    return recipients(work.attempt, accepted) if accepted is not None else ()


def recipients(attempt: Attempt, accepted: Envelope) -> tuple[str, ...]:
    """Who this attempt is for."""
    if attempt.pending is not None:
        return attempt.pending
    return tuple(each["address"] for each in accepted.data["recipients"])


def home_of(deps: DeliverDeps, work: Work) -> int | None:
    """The provider whose mail it is, None when that no longer exists."""
    home = home_id(work.accepted) if work.accepted is not None else None
    return home if home in deps.providers else None


def home_id(accepted: Envelope) -> int:
    """The provider that was responsible when the email was accepted, whoever took its place then."""
    return int(accepted.data["route"].get("home_provider_id") or accepted.data["provider_id"])


def tried(deps: DeliverDeps, work: Work, began: datetime | None = None, *, reason: str | None = None) -> Tried:
    """What every outcome of this attempt says."""
    attempt, now = work.attempt, deps.now()
    retry_at = deps.retry_at(
        accepted_at=attempt.accepted_at, attempt=attempt.number, now=now, email_id=attempt.email_id
    )
    duration = round((now - began).total_seconds() * 1000) if began is not None else None
    return Tried(attempt, retry_at, duration, reason, home_of(deps, work), now)


def causes(work: Work) -> dict[str, Any]:
    """The request and the fact that led to this."""
    accepted = work.accepted
    return {
        "correlation_id": accepted.correlationid if accepted is not None else None,
        "causation_id": accepted.id if accepted is not None else None,
    }
