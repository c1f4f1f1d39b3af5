"""May anything be sent at all? Not while what would come of it could not be written down."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

_POLL = 0.1


@dataclass(slots=True)
class Gate:
    """Open while JetStream is there, has room, and no outcome is waiting to be written."""

    connected: Callable[[], bool]
    log_is_full: Callable[[], bool]
    blocked: int = 0
    """Outcomes that could not be written so far."""
    draining: bool = False

    @property
    def is_open(self) -> bool:
        """Whether something may be sent now."""
        return not (self.blocked or self.draining or self.log_is_full()) and self.connected()

    async def opened(self) -> None:
        """Wait until it is open."""
        while not self.is_open:  # noqa: ASYNC110 - a lost connection and a full log tell nobody
            await asyncio.sleep(_POLL)

    def why_closed(self) -> list[str]:
        """For `/readyz` and the log."""
        reasons = {
            "nats": not self.connected(),
            "log_full": self.log_is_full(),
            "unwritten_outcomes": self.blocked > 0,
            "draining": self.draining,
        }
        return [name for name, true in reasons.items() if true]
