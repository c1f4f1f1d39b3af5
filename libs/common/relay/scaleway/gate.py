"""The moment between a working connection and the first octet on it: before it nothing was sent, after it who knows."""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

import aiohttp
from aiohttp.client import ClientTimeout
from aiohttp.tracing import Trace

from libs.common.relay.port import BeforeDot


class Stopped(Exception):
    """Leaves aiohttp unchanged from where a request would begin."""


@dataclass(slots=True)
class Gate:
    """Between a working connection and the first octet on it."""

    before_dot: BeforeDot | None
    patience: float
    deadline: asyncio.Timeout
    asked: bool = False
    begun: bool = False
    said_no: bool = False
    raised: Exception | None = None

    async def passed(self, connection: aiohttp.connector.Connection) -> bool:
        """False when the connection turned out to be closed: another one, please. `before_dot` is asked once.

        Raises `Stopped` when the request must not begin.
        """
        if self.begun:
            return True  # a GET, repeated on a fresh connection
        if not await _alive(connection):
            return False
        if self.before_dot is not None and not self.asked:
            self.asked = True
            try:
                self.said_no = not await self.before_dot()
            except Exception as error:
                # Kept aside, or aiohttp would take a TimeoutError of the caller's for its own.
                self.raised = error
                raise Stopped from error
            if self.said_no:
                raise Stopped
            if not await _alive(connection):
                return False
        self.begun = True
        self.deadline.reschedule(asyncio.get_running_loop().time() + self.patience)
        return True


async def _alive(connection: aiohttp.connector.Connection) -> bool:
    """The end of a kept one may lie in its socket, unread: the loop sees it within its next two rounds."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return connection.protocol is not None and connection.protocol.is_connected()


GATE: ContextVar[Gate] = ContextVar("GATE")
"""The gate of the exchange that this task is making; aiohttp has no way to hand it to a connector."""


class GatedConnector(aiohttp.TCPConnector):
    """Asks at the gate when a connection is there: the last moment at which nothing has been written."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> aiohttp.connector.Connection:
        # Each kept connection may turn out to be closed; a new one may be too, so this ends.
        for _ in range(self.limit + 1):
            connection = await super().connect(req, traces, timeout)
            try:
                if await GATE.get().passed(connection):
                    return connection
            except BaseException:
                connection.release()  # unused, so it may serve the next one
                raise
            connection.close()
        raise aiohttp.ServerDisconnectedError
