"""Deliver one attempt, once: has it been done, build it, hand it over, write down what came of it (DESIGN 5, 6-8)."""

import asyncio
import logging
from dataclasses import replace

from libs.common.events import Envelope
from libs.common.events.email import EmailFact, RecipientOutcome
from libs.common.events.provider import ProviderState
from libs.common.relay.port import SendResult, Submission, Trouble
from services.sender.domain import outcome
from services.sender.domain.attempt import Attempt
from services.sender.domain.message import build_submission, size_of
from services.sender.domain.outcome import Tried
from services.sender.domain.suspicion import is_suspect, may_have_been_begun
from services.sender.handlers.delivery import DeliverDeps, Finished, Work, conclude, over, pending, recipients, tried
from services.sender.handlers.reroute_email import (
    Ways,
    after_refusal,
    after_trouble,
    follow,
    just_moved,
    moved_again,
    provider_gone,
    while_closed,
)

log = logging.getLogger(__name__)

LOST_TEXT = "A worker was lost while it had this attempt in hand: the relay may have taken the message."
_BREATH = 0.01
"""Seconds: for a moment the view and an outlet may disagree about what there is."""
OFF_LOOP_CHARACTERS = 64 * 1024
THROTTLED_TRIES = 5
"""How often a message is offered to a provider that wants less per second, before the attempt ends."""


class _NoMessage(Exception):
    """What is stored does not make a message; `reason` is the fact's."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


async def deliver_email(deps: DeliverDeps, work: Work) -> Finished:
    """Steps 6 to 8 of DESIGN 5 for one message of the queue."""
    attempt, handed = work.attempt, work.handed
    suspect, again = is_suspect(handed) and not just_moved(attempt, handed), moved_again(attempt, handed)
    if suspect or again:
        begun = suspect and may_have_been_begun(handed) and not work.untouched
        found = await deps.journal.find(attempt, redelivered=again or handed.num_delivered > 1)
        if found is None:
            found, begun = await deps.colleagues.settle(attempt, begun=begun)
        if found is not None:
            await _follow_up(deps, attempt, found)
            return Finished("repeat")
        if begun:
            return await _worker_lost(deps, work)
    if attempt.provider_id not in deps.providers:
        return await provider_gone(deps, work)
    accepted = work.accepted or await deps.mailroom.accepted(attempt)
    if accepted is None:
        return await over(deps, work, reason="content_lost", text="The log has lost the email.")
    if work.accepted is None:
        work = replace(work, accepted=accepted)
    try:
        return await _through(deps, work, await Ways.of(deps, work, accepted))
    except _NoMessage as error:
        log.warning("email %s: %s", attempt.email_id, error)
        return await over(deps, work, reason=error.reason, text=str(error))


async def write_off(deps: DeliverDeps, work: Work, *, begun: bool) -> Finished:
    """An error of ours ended the attempt: unknown if the final dot may be out, else tried again later."""
    owed, text = await pending(deps, work), "An error of this system's ended the attempt."
    if not owed:
        return await over(deps, work, reason="content_lost", text=text)
    said = tried(deps, work, reason="internal_error")
    if begun:
        fact: EmailFact = outcome.unknown(said, owed, stage="final_dot", policy="retry", text=text)
    else:
        fact = outcome.concluded(said, outcome.everybody(owed, "deferred", text))
    return await conclude(deps, work, fact)


async def _through(deps: DeliverDeps, work: Work, ways: Ways) -> Finished:
    """Through its provider, or to another one if that cannot send it."""
    submission: Submission | None = None
    throttled = 0
    while True:
        provider = deps.providers.get(work.attempt.provider_id)
        if provider is None:
            return await provider_gone(deps, work)
        outlet = deps.outlets[provider.id]
        closed = outlet.closed()
        if closed is not None and (finished := await while_closed(ways, provider, closed)) is not None:
            return finished
        if submission is None:
            ways = await ways.with_content()
            submission = await _submission(ways)
        began = deps.now()
        result = await outlet.send(submission, work.lease.confirm, ways.is_open)
        if result is None:
            await asyncio.sleep(_BREATH)
            continue
        if result.trouble is not None and result.trouble.kind == "throttled":
            throttled += 1
        elif not result.abandoned:
            return await _ended(ways, provider, submission, result, tried(deps, work, began))
        if throttled >= THROTTLED_TRIES:
            return await _ended(ways, provider, submission, result, tried(deps, work, began))
        if not await work.lease.regain():
            return Finished("left")


async def _submission(ways: Ways) -> Submission:
    """A large message is built in a thread: every lease of this worker is kept by the loop."""
    content = ways.content
    if content is None:
        raise _NoMessage("content_lost", "The stored content of this email is lost or is not its own.")
    owed = recipients(ways.work.attempt, ways.accepted)
    try:
        if size_of(content) > OFF_LOOP_CHARACTERS:
            return await asyncio.to_thread(build_submission, ways.accepted, content, owed)
        return build_submission(ways.accepted, content, owed)
    except ValueError as error:
        raise _NoMessage("invalid_message", f"No message can be made of it: {error}") from error


async def _ended(
    ways: Ways, provider: ProviderState, submission: Submission, result: SendResult, said: Tried
) -> Finished:
    deps, work = ways.deps, ways.work
    if result.trouble is not None:
        return await _troubled(ways, provider, result.trouble, said, submission.recipients)
    if result.unknown_stage is not None:
        fact: EmailFact = outcome.unknown(
            said,
            submission.recipients,
            stage="final_dot",
            policy=provider.unknown_policy,
            text=result.detail or "No answer came after the final dot.",
        )
    else:
        outcomes = _outcomes(result)
        if _refused_by_stand_in(said, outcomes):
            return await _refused(ways, provider, said, outcomes)
        fact = outcome.concluded(
            said,
            outcomes,
            provider_message_id=result.provider_message_id,
            captured=provider.is_local_inbox,
        )
    return await conclude(deps, work, fact)


def _refused_by_stand_in(said: Tried, outcomes: list[RecipientOutcome]) -> bool:
    """Whether another provider's email was refused for everybody, and no address is at fault."""
    attempt = said.attempt
    guest = said.home_id is not None and said.home_id != attempt.provider_id and not attempt.pinned
    return guest and all(each.outcome == "failed" for each in outcomes)


async def _refused(ways: Ways, provider: ProviderState, said: Tried, outcomes: list[RecipientOutcome]) -> Finished:
    finished = await after_refusal(ways, provider, outcomes[0].text or "")
    if finished is not None:
        return finished
    if not await ways.work.lease.regain():
        return Finished("left")
    deferred = [each.model_copy(update={"outcome": "deferred"}) for each in outcomes]
    said = replace(said, reason="refused_by_fallback")
    return await conclude(ways.deps, ways.work, outcome.concluded(said, deferred))


async def _troubled(
    ways: Ways, provider: ProviderState, trouble: Trouble, said: Tried, owed: tuple[str, ...]
) -> Finished:
    """Nothing was sent and it is nobody's fault but the provider's: another one sends it, or all of them wait."""
    deps, work = ways.deps, ways.work
    finished = await after_trouble(ways, provider, trouble)
    if finished is None and not await work.lease.regain():
        # Somebody else may have it by now: what came of it is his to say.
        finished = Finished("left")
    if finished is None:
        outcomes = outcome.everybody(
            owed, "deferred", trouble.text, smtp_code=trouble.smtp_code, enhanced_status=trouble.enhanced_status
        )
        finished = await conclude(deps, work, outcome.concluded(replace(said, reason=trouble.kind), outcomes))
    if trouble.kind == "configuration":
        await deps.journal.stop_provider(provider, trouble.text)
    return finished


async def _worker_lost(deps: DeliverDeps, work: Work) -> Finished:
    owed = await pending(deps, work)
    if not owed:
        return await over(deps, work, reason="content_lost", text="The log has lost the email.")
    provider = deps.providers.get(work.attempt.provider_id)
    policy = provider.unknown_policy if provider is not None else "retry"
    said = tried(deps, work)
    if work.attempt.number == 1:
        # At once, but only this once: an email that kills its worker must not be sent over and over.
        said = replace(said, retry_at=deps.now())
    fact = outcome.unknown(said, owed, stage="worker_lost", policy=policy, text=LOST_TEXT)
    return await conclude(deps, work, fact)


async def _follow_up(deps: DeliverDeps, attempt: Attempt, found: Envelope) -> None:
    """Done before; but whoever did it may not have come as far as the schedule."""
    if found.name == "email.rerouted":
        await follow(deps, attempt, found)
        return
    following = outcome.next_attempt(attempt, found.data)
    if following is not None:
        await deps.journal.schedule(following)


def _outcomes(result: SendResult) -> list[RecipientOutcome]:
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
