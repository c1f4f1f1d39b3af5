"""Folds the facts of the log into the attempts that are still owed, one for each open email.

An email that is accepted and has no last word is owed an attempt. If that attempt is neither queued nor scheduled,
something was lost, and the log is the only one that still knows.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from libs.common.facts import Envelope
from services.sender.deliver.attempt_rules import Attempt, first_attempt
from services.sender.deliver.outcome_rules import OUTCOMES, next_attempt

Owed = dict[UUID, Attempt]


def fold(owed: Owed, facts: Iterable[Envelope]) -> None:
    """Bring `owed` up to date with further facts. Facts of emails whose beginning was not seen change nothing."""
    for fact in facts:
        event = fact.name.partition(".")[2]
        if event == "accepted":
            attempt = first_attempt(fact, provider_id=int(fact.data["provider_id"]), lane=str(fact.data["lane"]))
            owed[attempt.email_id] = attempt
        elif event in OUTCOMES:
            _answered(owed, fact)
        elif event == "rerouted":
            _rerouted(owed, fact)


def overdue(owed: Owed, before: datetime) -> list[Attempt]:
    """The attempts that became due before a time, oldest first."""
    return sorted((each for each in owed.values() if each.due_at < before), key=lambda each: each.due_at)


def _answered(owed: Owed, fact: Envelope) -> None:
    email_id = UUID(fact.data["email_id"])
    waiting = owed.get(email_id)
    # A bounce report has no place among attempts; an older attempt's outcome is history already.
    if waiting is None or fact.data.get("origin") == "report" or int(fact.data["attempt"]) < waiting.number:
        return
    done = replace(waiting, number=int(fact.data["attempt"]), provider_id=int(fact.data["provider_id"]))
    following = next_attempt(done, fact.data)
    if following is None:
        del owed[email_id]
    else:
        owed[email_id] = following


def _rerouted(owed: Owed, fact: Envelope) -> None:
    email_id = UUID(fact.data["email_id"])
    waiting = owed.get(email_id)
    if waiting is not None and int(fact.data["attempt"]) >= waiting.number:
        # It happened to the attempt at the provider it left, whichever we thought it was.
        left = replace(waiting, number=int(fact.data["attempt"]), provider_id=int(fact.data["from_provider_id"]))
        owed[email_id] = left.moved(fact)
