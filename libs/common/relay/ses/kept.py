"""The one client a relay keeps: opened by whoever needs it first, closed when nobody does any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.ses.settings import SesSettings

if TYPE_CHECKING:  # 30 MB and half a second that an installation without SES never needs
    from libs.common.relay.ses.client import SesClient


@dataclass(slots=True, repr=False, eq=False)
class KeptClient:
    """`slots` are the requests at work."""

    settings: SesSettings
    policy: OutboundPolicy
    slots: asyncio.Semaphore
    _client: "SesClient | None" = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    _at_work: int = 0
    _closed: bool = False

    @asynccontextmanager
    async def working(self) -> AsyncIterator["SesClient"]:
        """The client, once there is a slot. Raises `NotSent`."""
        self._at_work += 1
        try:
            async with self.slots:
                yield await self._opened()
        finally:
            self._at_work -= 1
            await self._let_go()

    async def close(self) -> None:
        """Close the connections, once those at work are done."""
        self._closed = True
        await self._let_go()

    async def _opened(self) -> "SesClient":
        async with self._opening:
            if self._client is None:
                # In a thread: importing the libraries and reading the API's model would hold the loop.
                await asyncio.to_thread(_load)
                from libs.common.relay.ses.client import open_client  # noqa: PLC0415 - see above

                self._client = await open_client(self.settings, self.policy)
            return self._client

    async def _let_go(self) -> None:
        if self._closed and not self._at_work and self._client is not None:
            client, self._client = self._client, None
            await client.close()


def _load() -> None:
    from libs.common.relay.ses.client import session  # noqa: PLC0415 - see `_opened`

    session()
