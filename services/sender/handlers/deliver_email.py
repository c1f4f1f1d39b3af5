"""Deliver one attempt, once: has it been done, build it, hand it over, write down what came of it (DESIGN 5, 6-8)."""

import logging
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from uuid import UUID

from libs.common.events import Envelope
from libs.common.events.email import EmailFact, EmailRerouted, RecipientOutcome, Route
from libs.common.events.provider import ProviderState
from libs.common.relay.port import SendResult, Submission, Trouble
from services.sender.domain import outcome
from services.sender.domain.attempt import Attempt
from services.sender.domain.message import build_submission
from services.sender.domain.outcome import Tried
from services.sender.domain.retry import next_attempt_at
from services.sender.domain.routing import default_provider
from services.sender.domain.suspicion import Handed, is_suspect, may_have_been_begun
from services.sender.ports import Journal, Lease, Mailroom, Outlet

log = logging.getLogger(__name__)

LOST_TEXT = "A worker was lost while it had this attempt in hand: the relay may have taken the message."


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
    """What delivering needs. `providers` are those that exist, `deleted` those that did."""

    journal: Journal
    mailroom: Mailroom
    providers: Mapping[int, ProviderState]
    deleted: Container[int]
    outlet: Callable[[ProviderState], Outlet]
    retry_at: RetryAt = next_attempt_at
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Finished:
    """`event` is the fact that was written, `repeat` when it had been done before, `left` when it is not ours now.

    Everything but `left` is to be acknowledged.
    """

    event: str

    @property
    def acknowledge(self) -> bool:
        """Whether the queue may forget the message."""
        return self.event != "left"


async def deliver_email(deps: DeliverDeps, work: Work) -> Finished:
    """Steps 6 to 8 of DESIGN 5 for one message of the queue."""
    attempt = work.attempt
    if is_suspect(work.handed):
        found = await deps.journal.find(attempt, redelivered=work.handed.num_delivered > 1)
        if found is not None:
            await _follow_up(deps, attempt, found)
            return Finished("repeat")
        if may_have_been_begun(work.handed) and not work.untouched:
            return await _worker_lost(deps, work)
    provider = deps.providers.get(attempt.provider_id)
    if provider is None:
        return await _provider_gone(deps, work)
    accepted = work.accepted or await deps.mailroom.accepted(attempt)
    content = await deps.mailroom.content(accepted) if accepted is not None else None
    if accepted is None or content is None:
        text = "The stored content of this email is lost or is not its own."
        return await _over(deps, work, reason="content_lost", text=text)
    try:
        submission = build_submission(accepted, content, _recipients(attempt, accepted))
    except ValueError as error:
        log.warning("email %s cannot be written as a message: %s", attempt.email_id, error)
        return await _over(deps, work, reason="invalid_message", text=f"No message can be made of it: {error}")
    return await _hand_over(deps, work, provider, submission)


async def write_off(deps: DeliverDeps, work: Work, *, begun: bool) -> Finished:
    """An error of ours ended the attempt: unknown if the final dot may be out, else tried again later."""
    recipients, text = await _pending(deps, work), "An error of this system's ended the attempt."
    if not recipients:
        return await _over(deps, work, reason="content_lost", text=text)
    tried = _tried(deps, work, None, reason="internal_error")
    if begun:
        fact: EmailFact = outcome.unknown(tried, recipients, stage="final_dot", policy="retry", text=text)
    else:
        fact = outcome.concluded(tried, outcome.everybody(recipients, "deferred", text))
    return await _conclude(deps, work, fact)


async def _hand_over(deps: DeliverDeps, work: Work, provider: ProviderState, submission: Submission) -> Finished:
    outlet = deps.outlet(provider)
    while True:
        began = deps.now()
        result = await outlet.send(submission, work.lease.confirm)
        if result is None:
            return await _provider_gone(deps, work)
        if not result.abandoned:
            break
        if not await work.lease.regain():
            return Finished("left")
    tried = _tried(deps, work, began)
    if result.trouble is not None:
        return await _troubled(deps, work, provider, result.trouble, tried, submission.recipients)
    if result.unknown_stage is not None:
        fact: EmailFact = outcome.unknown(
            tried,
            submission.recipients,
            stage="final_dot",
            policy=provider.unknown_policy,
            text=result.detail or "No answer came after the final dot.",
        )
    else:
        fact = outcome.concluded(
            tried,
            _outcomes(result),
            provider_message_id=result.provider_message_id,
            captured=provider.is_local_inbox,
        )
    return await _conclude(deps, work, fact)


async def _troubled(
    deps: DeliverDeps, work: Work, provider: ProviderState, trouble: Trouble, tried: Tried, recipients: tuple[str, ...]
) -> Finished:
    """Nothing was sent and it is nobody's fault but the provider's: all of them wait."""
    outcomes = outcome.everybody(
        recipients,
        "deferred",
        trouble.text,
        smtp_code=trouble.smtp_code,
        enhanced_status=trouble.enhanced_status,
    )
    tried = Tried(tried.attempt, tried.retry_at, tried.duration_ms, reason=trouble.kind)
    finished = await _conclude(deps, work, outcome.concluded(tried, outcomes))
    if trouble.kind == "configuration":
        await deps.journal.stop_provider(provider, trouble.text)
    return finished


async def _worker_lost(deps: DeliverDeps, work: Work) -> Finished:
    recipients = await _pending(deps, work)
    if not recipients:
        return await _over(deps, work, reason="content_lost", text="The log has lost the email.")
    provider = deps.providers.get(work.attempt.provider_id)
    policy = provider.unknown_policy if provider is not None else "retry"
    tried = _tried(deps, work, None)
    if work.attempt.number == 1:
        # At once, but only this once: an email that kills its worker must not be sent over and over.
        tried = Tried(tried.attempt, deps.now())
    fact = outcome.unknown(tried, recipients, stage="worker_lost", policy=policy, text=LOST_TEXT)
    return await _conclude(deps, work, fact)


async def _provider_gone(deps: DeliverDeps, work: Work) -> Finished:
    attempt, heir = work.attempt, default_provider(deps.providers)
    if attempt.provider_id not in deps.deleted:
        # Not known yet, or the view is being read anew: that is no reason to take its mail away.
        return Finished("left")
    if heir is None:
        text = "The provider was deleted and there is no default to take over."
        return await _over(deps, work, reason="provider_deleted", text=text)
    detail = f"provider {attempt.provider_id} was deleted"
    fact = EmailRerouted(
        email_id=attempt.email_id,
        attempt=attempt.number,
        from_provider_id=attempt.provider_id,
        provider_id=heir.id,
        route=Route(reason="default", detail=detail),
    )
    await deps.journal.record(fact, **_causes(work))
    await deps.journal.schedule(_moved(attempt, heir.id, deps.now()))
    return Finished(fact.EVENT)


async def _over(deps: DeliverDeps, work: Work, *, reason: str, text: str) -> Finished:
    recipients = await _pending(deps, work)
    fact = outcome.failed(_tried(deps, work, None), recipients, reason=reason, text=text)
    return await _conclude(deps, work, fact)


async def _conclude(deps: DeliverDeps, work: Work, fact: EmailFact) -> Finished:
    """The fact first, then what it asks for; the acknowledgement is the caller's."""
    await deps.journal.record(fact, **_causes(work))
    following = outcome.next_attempt(work.attempt, fact)
    if following is not None:
        await deps.journal.schedule(following)
    return Finished(fact.EVENT)


async def _follow_up(deps: DeliverDeps, attempt: Attempt, found: Envelope) -> None:
    """Done before; but whoever did it may not have come as far as the schedule."""
    if found.name == "email.rerouted":
        await deps.journal.schedule(_moved(attempt, int(found.data["provider_id"]), deps.now()))
        return
    following = outcome.next_attempt(attempt, found.data)
    if following is not None:
        await deps.journal.schedule(following)


async def _pending(deps: DeliverDeps, work: Work) -> tuple[str, ...]:
    if work.attempt.pending is not None:
        return work.attempt.pending
    accepted = work.accepted or await deps.mailroom.accepted(work.attempt)
    return _recipients(work.attempt, accepted) if accepted is not None else ()


def _recipients(attempt: Attempt, accepted: Envelope) -> tuple[str, ...]:
    if attempt.pending is not None:
        return attempt.pending
    return tuple(each["address"] for each in accepted.data["recipients"])


def _tried(deps: DeliverDeps, work: Work, began: datetime | None, *, reason: str | None = None) -> Tried:
    attempt, now = work.attempt, deps.now()
    retry_at = deps.retry_at(
        accepted_at=attempt.accepted_at, attempt=attempt.number, now=now, email_id=attempt.email_id
    )
    duration = round((now - began).total_seconds() * 1000) if began is not None else None
    return Tried(attempt, retry_at, duration, reason)


def _outcomes(result: SendResult) -> list[RecipientOutcome]:
    return [
        RecipientOutcome(
            address=each.address,
            outcome=each.outcome,
            smtp_code=each.smtp_code,
            enhanced_status=each.enhanced_status,
            text=each.text,
        )
        for each in result.recipients
    ]


def _moved(attempt: Attempt, provider_id: int, due_at: datetime) -> Attempt:
    return Attempt(
        attempt.email_id,
        attempt.number,
        provider_id,
        attempt.lane,
        due_at,
        attempt.accepted_at,
        attempt.accepted_sequence,
        attempt.pending,
    )


def _causes(work: Work) -> dict[str, Any]:
    accepted = work.accepted
    return {
        "correlation_id": accepted.correlationid if accepted is not None else None,
        "causation_id": accepted.id if accepted is not None else None,
    }
