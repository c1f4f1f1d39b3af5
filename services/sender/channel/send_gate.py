"""May anything be sent at all? Not while what would come of it could not be written down."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

OVERDUE_SECONDS = 1.0
_POLL = 0.1


@dataclass(slots=True)
class SendGate:
    """Open while JetStream is there, has room, and no outcome is waiting to be written."""

    connected: Callable[[], bool]
    log_is_full: Callable[[], bool]
    blocked: int = 0
    """Outcomes that could not be written so far."""
    writing: dict[object, float] = field(default_factory=dict, repr=False)
    """Outcomes on their way into the log, oldest first, with the monotonic time when they set out."""
    draining: bool = False

    @property
    def is_open(self) -> bool:
        """True if messages may be sent now."""
        return not (self.blocked or self.draining or self.overdue() or self.log_is_full()) and self.connected()

    def overdue(self) -> bool:
        """True if an outcome has waited for its answer so long that it may never be written."""
        oldest = next(iter(self.writing.values()), None)
        return oldest is not None and time.monotonic() - oldest > OVERDUE_SECONDS

    async def opened(self) -> None:
        """Wait until it is open."""
        while not self.is_open:  # noqa: ASYNC110 - a lost connection and a full log tell nobody
            await asyncio.sleep(_POLL)

    def why_closed(self) -> list[str]:
        """For `/readyz` and the log."""
        reasons = {
            "nats": not self.connected(),
            "log_full": self.log_is_full(),
            "unwritten_outcomes": self.blocked > 0 or self.overdue(),
            "draining": self.draining,
        }
        return [name for name, true in reasons.items() if true]
