"""The dependencies of the gateway's own routes."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from libs.common.facts import Envelope, Fact, new_envelope
from libs.common.jetstream.append import SetView, append_to_set
from libs.common.jetstream.bus import Bus
from libs.common.web import request_id_of
from libs.common.web.principal import Principal
from services.gateway.auth.authenticate import RevokedSessions
from services.gateway.auth.login import Login
from services.gateway.ports import KeyRegister, UserRegister


@dataclass(frozen=True, slots=True)
class Deps:
    """Views, the log, and what it takes to log in."""

    bus: Bus
    keys: KeyRegister
    users: UserRegister
    key_view: SetView
    user_view: SetView
    login: Login
    revoked: RevokedSessions
    session_key: bytes = field(repr=False)
    is_secure: bool
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Changes made here wait for each other, so that only another gateway can come between (the log says so then)."""

    async def write(
        self, view: SetView, decide: Callable[[], Fact], *, principal: Principal, request: Request
    ) -> Envelope:
        """Append what `decide` says on the view's present state. Errors as of `append_to_set`."""

        def envelope() -> Envelope:
            return new_envelope(
                decide(),
                source="gateway",
                actor=principal.actor(),
                at=self.now(),
                correlation_id=request_id_of(request),
            )

        async with self.turn:
            return await append_to_set(self.bus, view, envelope)


def _deps(request: Request) -> Deps:
    deps: Deps = request.app.state.deps
    return deps


TheDeps = Annotated[Deps, Depends(_deps)]
