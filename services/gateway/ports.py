"""Interfaces between the handlers and the outside, and their errors."""

from collections.abc import Sequence
from typing import Protocol

from libs.common.facts.key import KeyState
from libs.common.facts.user import UserState


class RefusedError(Exception):
    """No connection to the service: nothing was sent."""


class BrokenError(Exception):
    """The connection ended, or spoke no HTTP, before a whole head of an answer had come."""

    def __init__(self, message: str, *, reused: bool) -> None:
        """`reused`: it had served before, so that its peer may just have closed it."""
        super().__init__(message)
        self.reused = reused


class CutError(Exception):
    """The answer's body ended before its end."""


class Exchange(Protocol):
    """One request and its answer on a connection to a service."""

    is_complete: bool
    is_lost: bool
    status: int
    headers: list[tuple[bytes, bytes]]

    def begin(self, *, is_head: bool) -> None:
        """Forget the exchange before."""

    def write(self, data: bytes) -> None:
        """Send."""

    async def drain(self) -> None:
        """Wait until the service has taken most of it."""

    async def head(self) -> None:
        """Wait for `status` and `headers`. Raises BrokenError."""

    async def chunk(self) -> bytes:
        """The next part of the body; b"" at its end. Raises CutError."""

    def abort(self) -> None:
        """Close the connection now."""


class Service(Protocol):
    """A service behind the gateway."""

    name: str
    authority: bytes
    in_flight: int

    @property
    def is_full(self) -> bool:
        """True if the service has its maximum of requests in progress."""

    def idle(self) -> Exchange | None:
        """A connection that is open already."""

    async def connect(self) -> Exchange:
        """A fresh one. Raises RefusedError."""

    def give_back(self, connection: Exchange) -> None:
        """Keep the connection if it may serve again, else close it."""


class KeyRegister(Protocol):
    """Every API key that is not revoked."""

    def by_sha256(self, sha256: str) -> KeyState | None:
        """The key with this digest (hex)."""

    def get(self, key_id: int) -> KeyState | None:
        """The key with this id."""

    def all(self) -> Sequence[KeyState]:
        """All, by id."""

    @property
    def next_id(self) -> int:
        """One more than the highest id there ever was."""

    def was_seen(self, sha256: str) -> bool:
        """True if any fact has named it, a revocation included."""


class UserRegister(Protocol):
    """Every user."""

    def get(self, user_id: int) -> UserState | None:
        """The user with this id."""

    def by_email(self, email: str) -> UserState | None:
        """The user who logs in with this address; case does not matter."""

    def all(self) -> Sequence[UserState]:
        """All, by id."""

    @property
    def next_id(self) -> int:
        """One more than the highest id there ever was."""


class Freshness(Protocol):
    """How far a view of the facts can be trusted."""

    @property
    def silent_for(self) -> float:
        """Seconds since the server last proved that nothing is missing."""

    @property
    def is_caught_up(self) -> bool:
        """True once the view has caught up for the first time."""

    async def refresh(self) -> bool:
        """Catch up with the last fact; False when that cannot be known."""
