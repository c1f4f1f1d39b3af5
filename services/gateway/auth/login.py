"""Log in, log out here, log out everywhere."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from libs.common.errors import TempsError, UnauthorizedError
from libs.common.facts.user import UserState, UserUpdated
from services.gateway.auth.passwords import Passwords
from services.gateway.auth.session_rules import LIFETIME, Session
from services.gateway.auth.throttle_rules import Throttle, caller_from
from services.gateway.ports import UserRegister

_MOST_PAUSED = 200


class Hashes(Protocol):
    """Where password hashes are."""

    async def load(self, user_id: int, version: str) -> str | None:
        """The encoded hash."""


@dataclass(frozen=True, slots=True)
class Login:
    """Checks passwords; the same words and the same time for a wrong password and an unknown address."""

    users: UserRegister
    passwords: Passwords
    hashes: Hashes
    throttle: Throttle = field(default_factory=Throttle)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _paused: list[None] = field(default_factory=list)

    async def log_in(self, email: str, password: str, *, ip: str | None, now: float) -> Session:
        """A session. Raises UnauthorizedError, or 429 `rate_limited` after too many misses from this address."""
        caller = caller_from(email, ip)
        if (wait := self.throttle.refused_for(caller, self.monotonic())) > 0:
            raise TempsError(
                "Too many wrong passwords came from this address.",
                slug="rate_limited",
                retry_after=max(1, round(wait)),
            )
        user = self.users.by_email(email)
        # Counted before it is checked: guesses sent side by side must not all pass the gate at once.
        delay = self.throttle.delay(caller, self.monotonic())
        self.throttle.missed(caller, self.monotonic())
        await self.pause(delay)
        encoded = None
        if user is not None and user.is_active and user.credential_version is not None:
            encoded = await self.hashes.load(user.id, user.credential_version)
        if not await self.passwords.matches(password, encoded) or user is None:
            raise UnauthorizedError("The address or the password is wrong.")
        self.throttle.matched(caller)
        return Session(secrets.token_urlsafe(12), user.id, user.epoch, int(now) + LIFETIME)

    async def pause(self, seconds: float) -> None:
        """Look at the password that much later; at once when many wait already, so that memory is bounded."""
        if seconds <= 0 or len(self._paused) >= _MOST_PAUSED:
            return
        self._paused.append(None)
        try:
            await self.sleep(seconds)
        finally:
            self._paused.pop()


def log_out_everywhere(user: UserState | None, at: datetime) -> UserUpdated:
    """The fact that ends every session of the user: none of them has the new epoch."""
    if user is None:
        raise UnauthorizedError("The user is not known.")
    state = user.model_copy(update={"epoch": user.epoch + 1, "updated_at": at})
    return UserUpdated(user=state, changed_fields=["epoch"])
