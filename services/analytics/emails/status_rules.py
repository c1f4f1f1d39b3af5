"""A recipient's status from its outcomes: which of two stands, in either order of reading."""

from collections.abc import Mapping
from typing import Any, Final

QUEUED: Final = "queued"
FAILED: Final = "failed"
CAPTURED: Final = "captured"
SENT: Final = "sent"
DELIVERED: Final = "delivered"
BOUNCED: Final = "bounced"

RANK: Mapping[str, int] = {QUEUED: 1, FAILED: 2, CAPTURED: 3, SENT: 4, DELIVERED: 5, BOUNCED: 6}
"""The higher one stands; of two equal ones the later in the log. A bounce after a delivery is a bounce."""

OF_OUTCOME: Mapping[str, str] = {
    "accepted": SENT,
    "deferred": QUEUED,
    "unknown": QUEUED,
    "bounced": BOUNCED,
    "failed": FAILED,
}
"""One recipient's outcome in one attempt → its status; a deferral or an unknown one says so in `detail`."""

_LAST_WORDS = frozenset({"accepted", "bounced", "failed"})

EMAIL_ORDER = (QUEUED, FAILED, BOUNCED, SENT, DELIVERED, CAPTURED)
"""An email's status is the first of these that any of its recipients has (the CASE of fold.sql)."""

ALL_STATUSES = (
    QUEUED,
    "scheduled",
    SENT,
    DELIVERED,
    BOUNCED,
    FAILED,
    CAPTURED,
    "cancelled",
    "suppressed",
)
"""Every status of the contract, in the order of its figures; those that nothing leads to yet stay at zero."""


def settles(attempt: Mapping[str, Any]) -> bool:
    """True if an attempt makes its provider the email's: it sent the email, or gave a recipient's final outcome.

    After a failover the next attempt may be made elsewhere again without a fact of its own; a later bounce report is
    about what was sent before.
    """
    if attempt.get("provider_id") is None or attempt.get("origin") == "report":
        return False
    return any(said["outcome"] in _LAST_WORDS for said in attempt["recipients"])
