"""What becomes of one attempt: every rule of delivering, in one pure function.

An *attempt* is one try to hand an email to one provider. The handler (`deliver_email.py`) takes a message of the queue
and brings a `Case` up to date step by step: it looks the attempt up in the log, reads the email, builds the message,
hands it over. After each step it asks `decide`, which answers with a `Decision` that ends the attempt here, or with
None: go on with the next step. The handler then does what the decision says, in this order:

1. It asks for the lease again, where the decision says `only_with_lease`. A worker that lost the lease writes nothing:
   another one may have the attempt, and says what came of it.
2. It appends the fact. From then on the attempt is decided, whatever crashes: who finds the fact only repeats step 3.
3. It makes the next attempt due: a schedule, or for a moved one a message for the other provider.
4. It acknowledges the message, unless the attempt is LEFT.

The first row that fits decides. *LeasedMessage by us* is the lease; *others* are `alternatives.py`.

    looked up, read                  provider, answer                         decision
    -------------------------------  ---------------------------------------  ----------------------------------------
    1  the lease is lost                                                      LEFT
    2  the log has an outcome                                                 REPEAT: step 3 once more
    3  a lost worker may have begun                                           unknown(worker_lost), which pins it
    4                                no connections left for this worker      HANDED_BACK: due again at once
    5                                not known (yet)                          LEFT
    6  the log has lost the email                                             failed(content_lost)
    7  no message can be made of it                                           failed(content_lost, invalid_message)
    8                                deleted, another can take over           MOVED
    9                                deleted, its own provider lives          deferred: its own provider is next
   10                                deleted, nobody can                      failed(provider_deleted)
   11                                closed, another is open                  MOVED
   12                                closed, came in another's place          deferred: its own provider is next
   13                                closed, pinned, others could send        PARKED: makes room, due in 30 s
   14                                no answer yet, or nothing was sent       None: build it, hand it over, wait
   15                                throttled, not for the fifth time        None: hand it over again
   16                                trouble, another is open                 MOVED
   17                                trouble                                  deferred(kind of trouble)
   18                                no answer after the final dot            unknown(final_dot), which pins it
   19                                a stand-in refuses all, another is open  MOVED
   20                                a stand-in refuses all                   deferred: its own provider has the say
   21                                an answer for each recipient             sent, deferred, bounced or failed

Two promises follow. Every accepted email gets an end: each row but LEFT writes a fact or makes the attempt due again,
and what is LEFT is not acknowledged, so the queue hands it out again. There are no more copies than one and the unknown
outcomes on record: nothing is sent again unless the relay said that it took nothing, and an attempt of which an outcome
is unknown is *pinned*, which means that it never moves to another provider.
"""

from collections.abc import Sequence
from dataclasses import replace

from libs.common.facts import Envelope
from libs.common.facts.email import EmailFact, EmailRerouted, RecipientOutcome, Route
from libs.common.facts.provider import ProviderState
from libs.common.relay.port import SendResult, Trouble
from services.sender.deliver import outcome_rules as outcome
from services.sender.deliver.alternative_rules import Target
from services.sender.deliver.attempt_rules import PARKED, home_id
from services.sender.deliver.case import Case, Decision, End
from services.sender.deliver.outcome_rules import Tried, next_attempt
from services.sender.routing_rules import Closed, named, rerouted

THROTTLED_TRIES = 5
"""How often a message is offered to a provider that wants less per second, before the attempt ends."""
WORKER_LOST = "A worker was lost while it had this attempt in hand: the relay may have taken the message."
LOG_LOST = "The log has lost the email."
_REASONS = {
    "circuit": "connection",
    "stopped": "configuration",
    "inactive": "configuration",
    "quota": "quota",
    "unsupported": "unsupported",
}
"""By kind of `Closed`, what a deferral at a closed provider gives as its reason."""


LEFT = Decision(End.LEFT)


def decide(case: Case) -> Decision | None:
    """The first row of the table that fits; None: go on with the next step."""
    before = _before_a_provider(case)
    if before is not None or case.accepted is None:
        return before
    if case.provider is None:
        return _deleted(case, case.gone) if case.gone is not None else LEFT
    if case.answer is not None:
        return _answered(case, case.provider, case.answer)
    return _closed(case, case.provider, case.closed) if case.closed is not None else None


def write_off(case: Case) -> Decision:
    """An error of ours ended the attempt: unknown if the final dot may be out (`begun`), else tried again later."""
    text = "An error of this system's ended the attempt."
    if not case.owed:
        return _over(case, "content_lost", text)
    said = _tried(case, reason="internal_error")
    if case.begun:
        return _written(case, outcome.unknown(said, case.owed, stage="final_dot", policy="retry", text=text))
    return _written(case, outcome.concluded(said, outcome.everybody(case.owed, "deferred", text)))


# ----------------------------------------------------------------------------------------------------- rows 1 to 7


def _before_a_provider(case: Case) -> Decision | None:
    if not case.held:
        return LEFT
    if case.earlier is not None:
        return _repeat(case, case.earlier)
    if case.begun:
        return _worker_lost(case)
    if not case.has_slots:
        return Decision(End.HANDED_BACK, schedule=case.attempt)
    # A provider that is not known yet, or whose view is being read anew, is no reason to take its mail away.
    return LEFT if case.provider is None and case.gone is None else _unsendable(case)


def _unsendable(case: Case) -> Decision | None:
    if case.lost:
        return _over(case, "content_lost", LOG_LOST)
    return _over(case, case.unmade.reason, case.unmade.text) if case.unmade is not None else None


def _repeat(case: Case, earlier: Envelope) -> Decision:
    """The worker that wrote the outcome may have died before it scheduled the next attempt."""
    if earlier.name == "email.rerouted":
        return Decision(End.REPEAT, earlier=earlier)
    return Decision(End.REPEAT, schedule=next_attempt(case.attempt, earlier.data))


def _worker_lost(case: Case) -> Decision:
    if not case.owed:
        return _over(case, "content_lost", LOG_LOST)
    policy = case.provider.unknown_policy if case.provider is not None else "retry"
    said = _tried(case)
    if case.attempt.number == 1:
        # At once, but only this once: an email that kills its worker must not be sent over and over.
        said = replace(said, retry_at=case.now)
    return _written(case, outcome.unknown(said, case.owed, stage="worker_lost", policy=policy, text=WORKER_LOST))


# ---------------------------------------------------------------------------------------------------- rows 8 to 13


def _deleted(case: Case, gone: ProviderState) -> Decision:
    """Mail of a deleted provider goes to those who could have sent it, then to the default."""
    if case.target is not None:
        return _move(case, gone, case.target, f"{named(gone)} was deleted", because="deleted")
    if case.home_id is not None:
        return _deferred(case, "provider_deleted", f"{named(gone)} was deleted")
    text = "The provider was deleted and there is no fallback and no default to take over."
    return replace(_over(case, "provider_deleted", text), only_with_lease=True)


def _closed(case: Case, provider: ProviderState, closed: Closed) -> Decision | None:
    detail = f"{named(provider)}: {closed.text}"
    if case.target is not None:
        return _move(case, provider, case.target, detail, because=closed.kind)
    if case.attempt.tried:
        return _deferred(case, _REASONS[closed.kind], detail)
    if case.attempt.pinned and case.others_open:
        later = replace(case.attempt, due_at=case.now + PARKED)
        return Decision(End.PARKED, schedule=later, only_with_lease=True)
    return None


# --------------------------------------------------------------------------------------------------- rows 14 to 21


def _answered(case: Case, provider: ProviderState, answer: SendResult) -> Decision | None:
    if answer.abandoned:
        return None
    if answer.trouble is not None:
        return _troubled(case, provider, answer.trouble)
    if answer.unknown_stage is not None:
        text = answer.detail or "No answer came after the final dot."
        policy = provider.unknown_policy
        return _written(case, outcome.unknown(_tried(case), case.owed, stage="final_dot", policy=policy, text=text))
    outcomes = outcome.of_recipients(answer)
    if _refused_by_stand_in(case, outcomes):
        return _refused(case, provider, outcomes)
    return _written(
        case,
        outcome.concluded(
            _tried(case),
            outcomes,
            provider_message_id=answer.provider_message_id,
            captured=provider.is_local_inbox,
        ),
    )


def _troubled(case: Case, provider: ProviderState, trouble: Trouble) -> Decision | None:
    """Nothing was sent, and the provider is at fault: another one sends it, or everybody waits."""
    if trouble.kind == "throttled" and case.throttled < THROTTLED_TRIES:
        return None
    # A provider that is merely asked to go slower keeps its mail.
    target = case.target if trouble.kind != "throttled" else None
    if target is not None:
        decision = _move(case, provider, target, f"{named(provider)}: {trouble.text}", because=trouble.kind)
    else:
        codes = {"smtp_code": trouble.smtp_code, "enhanced_status": trouble.enhanced_status}
        decision = _deferred(case, trouble.kind, trouble.text, **codes)
    return replace(decision, stop_provider=trouble.text if trouble.kind == "configuration" else None)


def _refused_by_stand_in(case: Case, outcomes: Sequence[RecipientOutcome]) -> bool:
    """True if a stand-in refused the email for all recipients, and no address is at fault."""
    attempt = case.attempt
    guest = case.home_id is not None and case.home_id != attempt.provider_id and not attempt.pinned
    return guest and all(each.outcome == "failed" for each in outcomes)


def _refused(case: Case, provider: ProviderState, outcomes: list[RecipientOutcome]) -> Decision:
    """A stand-in's refusal is not the last word on another provider's email.

    The sender's domain may be unknown here, or its DNS permit nobody else. So the next one is asked; where there is
    none, the email waits for its own provider, which alone may fail it.
    """
    if case.target is not None:
        detail = f"{named(provider)} refused it: {outcomes[0].text or ''}"
        return _move(case, provider, case.target, detail, because="refused")
    deferred = [each.model_copy(update={"outcome": "deferred"}) for each in outcomes]
    fact = outcome.concluded(_tried(case, reason="refused_by_fallback"), deferred)
    return replace(_written(case, fact), only_with_lease=True)


# ------------------------------------------------------------------------------------------------------- decisions


def _written(case: Case, fact: EmailFact) -> Decision:
    return Decision(End.WRITTEN, fact=fact, schedule=next_attempt(case.attempt, fact))


def _over(case: Case, reason: str, text: str) -> Decision:
    """Give up for every recipient without a final outcome."""
    return _written(case, outcome.failed(_tried(case), case.owed, reason=reason, text=text))


def _deferred(case: Case, reason: str, text: str, **codes: int | str | None) -> Decision:
    outcomes = outcome.everybody(case.owed, "deferred", text, **codes)
    fact = outcome.concluded(_tried(case, reason=reason), outcomes)
    return replace(_written(case, fact), only_with_lease=True)


def _move(case: Case, source: ProviderState, target: Target, detail: str, *, because: str) -> Decision:
    attempt, accepted = case.attempt, case.accepted
    if accepted is None:
        raise ValueError("an attempt moves only once its email was read")
    route = Route.model_validate(accepted.data["route"])
    fact = EmailRerouted(
        email_id=attempt.email_id,
        attempt=attempt.number,
        from_provider_id=source.id,
        provider_id=target.provider.id,
        route=rerouted(route, home_id(accepted), target.provider.id, detail, named=target.named),
        tried=[*attempt.tried, source.id],
    )
    return Decision(End.MOVED, fact=fact, target=target.provider.id, because=because, only_with_lease=True)


def _tried(case: Case, *, reason: str | None = None) -> Tried:
    """The part that all outcomes of this attempt share."""
    duration = round((case.now - case.began).total_seconds() * 1000) if case.began is not None else None
    return Tried(case.attempt, case.retry_at, duration, reason, case.home_id, case.now)
