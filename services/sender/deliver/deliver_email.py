"""Deliver one attempt, once: look it up, read the email, hand it over, write down what came of it.

`deliver_email` is the whole way from top to bottom. What follows from what it finds is decided in `decide.py`, whose
header is the theory of it; this module only finds out and acts.
"""

import asyncio
import logging

from services.sender.deliver import decide as rules
from services.sender.deliver.alternative_rules import Alternatives, anybody_else
from services.sender.deliver.attempt_rules import home_id, recipients
from services.sender.deliver.case import Case, Decision, End, NoMessage
from services.sender.deliver.decide import LEFT, decide
from services.sender.deliver.message_rules import build_submission, size_of
from services.sender.deliver.redelivery_rules import examine
from services.sender.deliver.work import DeliverDeps, Finished, Work
from services.sender.ports import NoSlotsError

log = logging.getLogger(__name__)

OFF_LOOP_CHARACTERS = 64 * 1024
"""A larger message is built in a thread, because the loop keeps every lease of this worker."""
_BREATH = 0.01
"""Seconds: for a moment the view and a channel may disagree about what there is."""


async def deliver_email(deps: DeliverDeps, work: Work) -> Finished:
    """One message of the queue. Raises what is a fault of ours; `write_off` ends such an attempt."""
    case = _begin(deps, work)
    await _look_up(deps, work, case)
    if case.earlier is None and not case.begun:
        await _read(deps, work, case)
    while (decision := decide(_seen(deps, case))) is None:
        if case.answer is not None:
            # Nothing was sent: it is handed over once more, if it is still ours.
            case.answer, case.held = None, await work.lease.regain()
        elif case.submission is None:
            await _build(deps, case)
        else:
            await _hand_over(deps, work, case)
    return await _act(deps, work, case, decision)


async def write_off(deps: DeliverDeps, work: Work, *, begun: bool) -> Finished:
    """A fault of ours ended the attempt; `begun`: the relay may have the message."""
    case = _begin(deps, work)
    case.begun = begun
    if case.accepted is None and work.attempt.pending is None:
        case.accepted = await deps.email_store.accepted(work.attempt)
    return await _act(deps, work, case, rules.write_off(_seen(deps, case)))


# ------------------------------------------------------------------------------------------------------- find out


def _begin(deps: DeliverDeps, work: Work) -> Case:
    return Case(work.attempt, deps.now(), None, accepted=work.accepted)


async def _look_up(deps: DeliverDeps, work: Work, case: Case) -> None:
    """Has it ended before, or has a lost worker begun with it? Asked where the message's way here leaves a doubt."""
    doubt = examine(work.attempt, work.handed, untouched=work.untouched)
    if doubt is None:
        return
    case.begun = doubt.begun
    case.earlier = await deps.outcome_log.find(work.attempt, redelivered=doubt.redelivered)
    if case.earlier is None:
        case.earlier, case.begun = await deps.peers.settle(work.attempt, begun=doubt.begun)
    if case.earlier is None and case.begun and not case.owed:
        case.accepted = await deps.email_store.accepted(work.attempt)


async def _read(deps: DeliverDeps, work: Work, case: Case) -> None:
    if case.accepted is None:
        case.accepted = await deps.email_store.accepted(work.attempt)
    others = _alternatives(deps, case)
    if others is None:
        case.lost = True
    elif others.depend_on_content or work.attempt.provider_id not in deps.providers:
        # Known before anything is tried, so that asking who else could send it costs nothing while it waits.
        await _read_content(deps, case)


async def _read_content(deps: DeliverDeps, case: Case) -> None:
    if case.content is None and case.accepted is not None:
        case.content = await deps.email_store.content(case.accepted)


def _seen(deps: DeliverDeps, case: Case) -> Case:
    """The case with everything that may change at any moment as it is now."""
    attempt = case.attempt
    case.now = deps.now()
    if case.answer is None:
        # Once asked, it is the provider as it was asked that is decided about, whatever became of it meanwhile.
        case.provider, case.gone = deps.providers.get(attempt.provider_id), deps.deleted.get(attempt.provider_id)
        channel = deps.channels.get(attempt.provider_id)
        case.closed = channel.closed() if channel is not None and case.provider is not None else None
    if case.unhindered:
        return case
    case.retry_at = deps.retry_at(
        accepted_at=attempt.accepted_at, attempt=attempt.number, now=case.now, email_id=attempt.email_id
    )
    case.home_lives = case.accepted is not None and home_id(case.accepted) in deps.providers
    others = _alternatives(deps, case)
    if others is None:
        return case
    if case.provider is None and case.gone is not None:
        case.target = others.heir(case.gone)
        return case
    waits = case.closed is not None and attempt.pinned
    case.others_open = waits and anybody_else(attempt.provider_id, deps.providers, deps.is_open)
    case.target = others.open()
    return case


def _alternatives(deps: DeliverDeps, case: Case) -> Alternatives | None:
    if case.accepted is None:
        return None
    return Alternatives(case.attempt, case.accepted, deps.providers, deps.deleted, deps.is_open, case.content)


async def _build(deps: DeliverDeps, case: Case) -> None:
    """The message, for those who are owed a try; or why there is none."""
    await _read_content(deps, case)
    accepted, content = case.accepted, case.content
    if accepted is None or content is None:
        case.unmade = NoMessage("content_lost", "The stored content of this email is lost or is not its own.")
        return
    owed = recipients(case.attempt, accepted)
    try:
        if size_of(content) > OFF_LOOP_CHARACTERS:
            case.submission = await asyncio.to_thread(build_submission, accepted, content, owed)
        else:
            case.submission = build_submission(accepted, content, owed)
    except ValueError as error:
        log.warning("email %s: no message can be made of it: %s", case.attempt.email_id, error)
        case.unmade = NoMessage("invalid_message", f"No message can be made of it: {error}")


async def _hand_over(deps: DeliverDeps, work: Work, case: Case) -> None:
    """Wait for a turn at its provider and hand it over; without an answer where it had better go elsewhere."""
    submission, others, began = case.submission, _alternatives(deps, case), deps.now()
    if submission is None or others is None:
        raise ValueError("there is nothing to hand over")
    channel = deps.channels[case.attempt.provider_id]
    try:
        answer = await channel.send(submission, work.lease.confirm, lambda: others.open() is not None)
    except NoSlotsError:
        case.has_slots = False
        return
    if answer is None:
        await asyncio.sleep(_BREATH)
        return
    case.answer, case.began = answer, began
    case.throttled += answer.trouble is not None and answer.trouble.kind == "throttled"


# ------------------------------------------------------------------------------------------------------------ act


async def _act(deps: DeliverDeps, work: Work, case: Case, decision: Decision) -> Finished:
    """The fact first, then what follows from it; the acknowledgement is the caller's."""
    stop, event = decision.stop_provider, decision.end.value
    if decision.target is not None and (channel := deps.channels.get(decision.target)) is not None:
        channel.invite()
    if decision.only_with_lease and not await work.lease.regain():
        decision = LEFT
        event = decision.end.value
    if decision.earlier is not None:
        await deps.outcome_log.move(work.attempt.moved(decision.earlier), decision.earlier)
    if decision.fact is not None:
        work.lease.decided()
        stored = await deps.outcome_log.record(decision.fact, **_causes(case))
        event = decision.fact.EVENT
        if decision.end is End.MOVED:
            await deps.outcome_log.move(work.attempt.moved(stored), stored)
    if decision.schedule is not None:
        await deps.outcome_log.schedule(decision.schedule)
    if stop is not None and case.provider is not None:
        await deps.outcome_log.stop_provider(case.provider, stop)
    return Finished(decision.end, event, decision.target, decision.because)


def _causes(case: Case) -> dict[str, str | None]:
    """The request and the fact that led to this."""
    accepted = case.accepted
    return {
        "correlation_id": accepted.correlationid if accepted is not None else None,
        "causation_id": accepted.id if accepted is not None else None,
    }
