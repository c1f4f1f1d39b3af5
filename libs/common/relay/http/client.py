"""The HTTP client of one relay: it opens with the first request, and closes after the last one in progress."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libs.common.relay.http.messages import HttpAnswer, HttpRequest, HttpSettings
from libs.common.relay.lazy import load
from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import BeforeDot

if TYPE_CHECKING:  # see `_opened`
    from libs.common.relay.http.session import Session


@dataclass(slots=True, repr=False, eq=False)
class HttpClient:
    """At most `settings.max_connections` requests at once, each on a kept connection where there is one.

    `policy` is None if the operator chose the host. A request after `close` is served, and its connection is closed.
    """

    settings: HttpSettings
    policy: OutboundPolicy | None
    _slots: asyncio.Semaphore = field(init=False)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _session: "Session | None" = None
    _at_work: int = 0
    _closed: bool = False

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.settings.max_connections)

    async def exchange(self, request: HttpRequest, *, before_dot: BeforeDot | None = None) -> HttpAnswer:
        """One request, one answer, waiting for a free connection first.

        `before_dot` is asked once, with a connection in hand and nothing written.
        Raises `NotSent`, `NoAnswer`, `Abandoned`, and what `before_dot` raises.
        """
        async with self._working() as session:
            return await session.exchange(request, before_dot)

    async def close(self) -> None:
        """Close the connections, once those at work are done."""
        self._closed = True
        await self._let_go()

    @asynccontextmanager
    async def _working(self) -> AsyncIterator["Session"]:
        self._at_work += 1
        try:
            async with self._slots:
                yield await self._opened()
        finally:
            self._at_work -= 1
            await self._let_go()

    async def _opened(self) -> "Session":
        async with self._opening:
            if self._session is None:
                await load("libs.common.relay.http.session")
                from libs.common.relay.http.session import open_session  # noqa: PLC0415 - see above

                self._session = open_session(self.settings, self.policy)
            return self._session

    async def _let_go(self) -> None:
        if self._closed and not self._at_work and self._session is not None:
            session, self._session = self._session, None
            await session.close()
