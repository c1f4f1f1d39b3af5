"""Decides whether another worker may have begun or finished a message of the queue before.

A damaged queue re-sources its history as fresh messages, and a killed server hands messages out again that were in
somebody's hands, as if for the first time: so a message's own word that it is new is not enough.
"""

from dataclasses import dataclass

from services.sender.deliver.attempt_rules import Attempt

LATE_SECONDS = 60.0
"""A message stored in the queue this long after it was due has not come there by the usual way."""
CLOCK_SECONDS = 2.0
"""Our clock and the server's may differ by this much."""
PUBLISHED_WITHIN = 5.0
"""Seconds from the fact until the attempt that it moved is in the queue; later, it may be there a second time."""


@dataclass(frozen=True, slots=True)
class Handed:
    """How a message of the queue arrived here; times in Unix seconds.

    `index` counts the messages of its consumer since the last (re)connect, from 0, `window` is that consumer's
    `max_ack_pending`. `counted_since` is since when the server's delivery counts cannot have been lost: its own
    start or the queue's creation, whichever is later; None when that is not known.
    """

    attempt: int
    due_at: float
    stored_at: float
    num_delivered: int
    connected_at: float
    index: int
    window: int
    counted_since: float | None


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why an attempt is looked up in the log before it is begun.

    `redelivered`: another worker may have written its outcome. `begun`: if the log has no outcome, a lost worker may
    have had it on the wire.
    """

    redelivered: bool
    begun: bool


def examine(attempt: Attempt, handed: Handed, *, untouched: bool) -> Doubt | None:
    """The doubt about a message of the queue; None if its delivery may begin at once.

    `untouched`: this very worker had it before and knows that nothing was sent.
    """
    suspect = is_suspect(handed) and not just_moved(attempt, handed)
    again = moved_again(attempt, handed)
    if not suspect and not again:
        return None
    begun = suspect and may_have_been_begun(handed) and not untouched
    return Doubt(redelivered=again or handed.num_delivered > 1, begun=begun)


def moved_again(attempt: Attempt, handed: Handed) -> bool:
    """True if a moved attempt may be in the queue twice, because its publication was repeated late."""
    return bool(attempt.tried) and handed.stored_at > handed.due_at + PUBLISHED_WITHIN


def just_moved(attempt: Attempt, handed: Handed) -> bool:
    """True if it was moved during this connection and is delivered for the first time: no worker can have begun it.

    Otherwise the first of them after a connect would be taken for a lost worker's, wherever the server's start is not
    known, and with an unknown outcome they would have to stay.
    """
    return (
        bool(attempt.tried)
        and handed.num_delivered == 1
        and not moved_again(attempt, handed)
        and handed.due_at > max(handed.connected_at, handed.counted_since or 0.0)
    )


def is_suspect(handed: Handed) -> bool:
    """True if the log has to be searched for an outcome before sending."""
    return (
        handed.num_delivered > 1
        or handed.attempt > 1
        # What was due before the connect may have been sent then, even if a mended queue sources it again only now;
        # the same holds for a queue that was made anew under a connection that lasted.
        or min(handed.due_at, handed.stored_at) < handed.connected_at + CLOCK_SECONDS
        or (handed.counted_since is not None and handed.due_at < handed.counted_since + CLOCK_SECONDS)
        or handed.stored_at > handed.due_at + LATE_SECONDS
    )


def may_have_been_begun(handed: Handed) -> bool:
    """For a suspect without an outcome: whether a lost worker may have had it on the wire.

    A count of 1 is believed when the attempt became due after the server began to count: then it cannot have been
    handed out before. (No allowance for clocks: a killed server is away for longer than they differ.) Where that is not
    known, one that became due under the connection that lasts is believed too: a server that loses its counts loses its
    connections with them.
    """
    if handed.num_delivered > 1:
        return True
    exact = handed.counted_since is not None and handed.due_at > handed.counted_since
    exact = exact or handed.due_at > handed.connected_at + CLOCK_SECONDS
    return handed.index < handed.window and not exact
