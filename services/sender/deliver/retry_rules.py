"""When an email that could not be delivered is tried again, and when it is given up.

RFC 5321 section 4.5.4.1 wants 30 minutes between tries of a host that may be down; the relay here is our user's own
smarthost, so the first tries come sooner, and a greylisted recipient is not kept waiting.
"""

from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

DELAYS = (
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(minutes=30),
    timedelta(hours=1),
    timedelta(hours=2),
    timedelta(hours=4),
)
LATER = timedelta(hours=6)
GIVE_UP_AFTER = timedelta(hours=48)
JITTER = 0.2


def next_attempt_at(*, accepted_at: datetime, attempt: int, now: datetime, email_id: UUID) -> datetime | None:
    """When to try again after `attempt` (the first is 1) ended at `now`; None gives the email up.

    The same arguments give the same time: a worker that repeats a deferral schedules the same retry.
    """
    if attempt < 1:
        raise ValueError("attempts are counted from 1")
    at = now + delay_after(attempt) * _spread(email_id, attempt)
    return at if at <= accepted_at + GIVE_UP_AFTER else None


def delay_after(attempt: int) -> timedelta:
    """The wait after the n-th attempt, before jitter."""
    return DELAYS[attempt - 1] if attempt <= len(DELAYS) else LATER


def _spread(email_id: UUID, attempt: int) -> float:
    """A factor between 1 - JITTER and 1 + JITTER, so that what failed together is not tried together."""
    digest = blake2b(email_id.bytes + attempt.to_bytes(4, "big"), digest_size=8).digest()
    return 1 - JITTER + 2 * JITTER * int.from_bytes(digest, "big") / (1 << 64)
