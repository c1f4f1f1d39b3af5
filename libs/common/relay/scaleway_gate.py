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
    begun: bool = False
    said_no: bool = False
    raised: Exception | None = None

    async def passed(self) -> None:
        """Raises `Stopped` when the request must not begin."""
        if self.begun:
            return  # a GET, repeated on a fresh connection
        if self.before_dot is not None:
            try:
                self.said_no = not await self.before_dot()
            except Exception as error:
                # Kept aside, or aiohttp would take a TimeoutError of the caller's for its own.
                self.raised = error
                raise Stopped from error
            if self.said_no:
                raise Stopped
        self.begun = True
        self.deadline.reschedule(asyncio.get_running_loop().time() + self.patience)


GATE: ContextVar[Gate] = ContextVar("GATE")
"""The gate of the exchange that this task is making; aiohttp has no way to hand it to a connector."""


class GatedConnector(aiohttp.TCPConnector):
    """Asks at the gate when a connection is there: the last moment at which nothing has been written."""

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> aiohttp.connector.Connection:
        connection = await super().connect(req, traces, timeout)
        try:
            await GATE.get().passed()
        except BaseException:
            connection.release()  # unused, so it may serve the next one
            raise
        return connection
