"""Passwords: Argon2id, off the loop and few at a time, because one check takes 64 MB and all of a core."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from libs.common.errors import UnavailableError

T = TypeVar("T")

_AT_ONCE = 2
_MOST_WAITING = 32
"""At about 50 ms each, the last of them waits for a second."""
MAX_PASSWORD = 1_024


class Passwords:
    """RFC 9106's second recommended parameters, as the library has them; `close` ends its threads."""

    def __init__(self) -> None:
        """Threads start with the first check."""
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._of_nobody: str | None = None
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The encoded hash, salt and parameters included. Raises UnavailableError while too many wait."""
        return await self._run(self._hasher.hash, password)

    async def matches(self, password: str, encoded: str | None) -> bool:
        """True if the password matches. Without a hash (unknown user) the answer takes equally long."""
        if encoded is None and self._of_nobody is None:
            self._of_nobody = await self.hash(secrets.token_urlsafe())
        return await self._run(self._verify, encoded or self._of_nobody or "", password, encoded is not None)

    async def _run(self, work: Callable[..., T], *arguments: object) -> T:
        if self._waiting >= _MOST_WAITING:
            raise UnavailableError("Too many passwords are being checked at this moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, encoded: str, password: str, is_somebody: bool) -> bool:  # noqa: FBT001 - run_in_executor
        try:
            self._hasher.verify(encoded, password)
        except (VerificationError, InvalidHashError):
            return False
        return is_somebody
