"""What the memory of recent outcomes may be believed: no outcome that it has let go is taken for one that never was."""

import time
from datetime import UTC, datetime

from libs.common.facts import new_envelope, uuid7
from libs.common.facts.email import EmailSent, RecipientOutcome
from libs.common.jetstream.append import append
from services.sender.deliver.recent_outcomes import RecentOutcomes
from tests.support.sending import ACTOR, Sending


async def test_outcomes_that_did_not_fit_at_start_are_not_taken_for_known(world: Sending) -> None:
    for _ in range(3):
        fact = EmailSent(
            email_id=uuid7(),
            attempt=1,
            provider_id=1,
            recipients=[RecipientOutcome(address="ada@example.com", outcome="accepted")],
        )
        await append(world.bus, new_envelope(fact, source="test", actor=ACTOR, at=datetime.now(UTC)))
    roomy, tight = RecentOutcomes(), RecentOutcomes(keep=2)
    await roomy.load(world.bus)
    await tight.load(world.bus)
    due_at = time.time() - 60
    assert roomy.knows_of(due_at)
    assert not tight.knows_of(due_at)


async def test_while_another_worker_may_have_been_there_its_outcomes_are_not_taken_for_known(world: Sending) -> None:
    recent = RecentOutcomes()
    await recent.load(world.bus)
    now = time.time()
    recent.company_at = lambda: now - 30
    assert not recent.knows_of(now - 60)
    assert recent.knows_of(now - 10)
