"""Interfaces between the handlers and the outside: first facts, the stream, the spool."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol
from uuid import UUID

from libs.common.facts import Envelope
from libs.common.jetstream.bus import PubAck


class Accepted(Protocol):
    """The fact that began an email; `libs.common.jetstream.email_log.AcceptedLookup`."""

    def cached(self, email_id: UUID) -> Envelope | None:
        """The cached facts, without a read."""
        ...

    async def get(self, email_id: UUID) -> Envelope | None:
        """None for an unknown email. Raises `UnavailableError` when the log cannot be read."""
        ...


class Log(Protocol):
    """Where facts go; `libs.common.jetstream.Bus`."""

    @property
    def connected(self) -> bool: ...

    async def publish(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout: float = 2.0
    ) -> PubAck:
        """Raises `BusError`."""
        ...


class Keep(Protocol):
    """Records on disk, oldest first; `services.tracking.spool.spool.Spool`."""

    def append(self, record: bytes) -> bool: ...

    async def sync(self) -> None: ...

    def oldest(self) -> Path | None: ...

    def records(self, path: Path) -> Iterator[bytes]: ...

    def remove(self, path: Path) -> None: ...
