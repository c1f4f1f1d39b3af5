"""The first user and the first key, once in the life of a log: what was revoked or changed is never made again."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from libs.common import apikey
from libs.common.facts import Fact, uuid7
from libs.common.facts.key import KeyCreated, KeyState
from libs.common.facts.user import UserCreated, UserState
from services.gateway.auth.passwords import Passwords
from services.gateway.auth.scope_rules import ROLES
from services.gateway.ports import KeyRegister, UserRegister

log = logging.getLogger(__name__)

Write = Callable[[Callable[[], Fact | None]], Awaitable[None]]
"""Append what the function decides on the view's present state; None is nothing to do."""


@dataclass(frozen=True, slots=True)
class FirstSteps:
    """`password` and `key` come from the files that the supervisor wrote; None leaves that step out."""

    email: str
    password: str | None = field(repr=False)
    key: str | None = field(repr=False)
    users: UserRegister
    keys: KeyRegister
    passwords: Passwords
    store_hash: Callable[[int, str, str], Awaitable[None]]
    write_user: Write
    write_key: Write

    async def take(self) -> None:
        """Both views have caught up before this is called; with several gateways the log decides who is first."""
        if self.password is not None and not self.users.all():
            # The first user of an empty set can only be number 1: the secret may be written before the fact.
            version = str(uuid7())
            await self.store_hash(1, version, await self.passwords.hash(self.password))
            await self.write_user(lambda: self._first_user(version))
        if self.key is not None:
            await self.write_key(self._first_key)

    def _first_user(self, version: str) -> Fact | None:
        if self.users.all():
            return None
        now = datetime.now(UTC)
        return UserCreated(
            user=UserState(
                id=1,
                email=self.email,
                name="Administrator",
                role="admin",
                is_active=True,
                epoch=1,
                credential_version=version,
                created_at=now,
                updated_at=now,
            )
        )

    def _first_key(self) -> Fact | None:
        key = self.key or ""
        users = self.users.all()
        if self.keys.was_seen(apikey.digest(key)) or not users:
            return None
        return KeyCreated(
            key=KeyState(
                id=self.keys.next_id,
                name="First key",
                prefix=apikey.display_prefix(key),
                sha256=apikey.digest(key),
                user_id=users[0].id,
                role="admin",
                scopes=sorted(ROLES["admin"]),
                expires_at=None,
                created_at=datetime.now(UTC),
            )
        )
