"""What the handlers need from outside: the first fact of an email, a stream, and a place on disk."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol
from uuid import UUID

from libs.common.bus import PubAck
from libs.common.events import Envelope


class Accepted(Protocol):
    """The fact that began an email; `libs.common.facts_of.AcceptedLookup`."""

    def cached(self, email_id: UUID) -> Envelope | None:
        """What is remembered, without a read."""
        ...

    async def get(self, email_id: UUID) -> Envelope | None:
        """None for an unknown email. Raises `UnavailableError` when the log cannot be read."""
        ...


class Log(Protocol):
    """Where facts go; `libs.common.bus.Bus`."""

    @property
    def connected(self) -> bool: ...

    async def publish(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout: float = 2.0
    ) -> PubAck:
        """Raises `BusError`."""
        ...


class Keep(Protocol):
    """Records on disk, oldest first; `services.tracking.adapters.spool.Spool`."""

    def append(self, record: bytes) -> bool: ...

    async def sync(self) -> None: ...

    def oldest(self) -> Path | None: ...

    def records(self, path: Path) -> Iterator[bytes]: ...

    def remove(self, path: Path) -> None: ...
