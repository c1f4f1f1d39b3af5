"""One request and how far it has got: what the relay, the client and the transport each know of it."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from libs.common.relay.port import BeforeDot


class Stopped(Exception):
    """`before_dot` said no, or raised; the exchange knows which."""


class Stale(Exception):
    """A kept connection had been closed by the other side before anything was sent on it."""


@dataclass(slots=True)
class Exchange:
    """One request and how far it has got. `begun`: from here on it may have been taken."""

    before_dot: BeforeDot | None = None
    begun: bool = False
    status: int = 0
    raised: Exception | None = None
    asked: bool = False

    async def ready(self, alive: Callable[[], bool]) -> None:
        """A connection is there; nothing has been written. Raises `Stopped` or `Stale`."""
        await _look(alive)
        if self.before_dot is not None and not self.asked:
            self.asked = True
            try:
                go = await self.before_dot()
            except Exception as error:  # noqa: BLE001 - it is raised again, by the client
                # Kept aside: it has to come out as it is, whatever the libraries between do with exceptions.
                self.raised = error
                raise Stopped from None
            if not go:
                raise Stopped
            await _look(alive)
        self.begun = True


async def _look(alive: Callable[[], bool]) -> None:
    """The end of a connection may lie in its socket, unread: the loop sees it within its next two rounds."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if not alive():
        raise Stale


exchange: ContextVar[Exchange] = ContextVar("exchange")
"""The request that this task is about to make."""
