"""The moment between a working connection and the first octet on it: before it nothing was sent, after it who knows.

aiohttp does not tell whether a request that failed had left, and has no way to hand anything of a request to its
connector. So the connector itself, which has the connection last, asks the gate of the running task.
"""

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

import aiohttp
from aiohttp.client import ClientTimeout
from aiohttp.tracing import Trace

from libs.common.relay.port import BeforeDot


class Stopped(Exception):
    """`before_dot` said no, or raised; the gate knows which. aiohttp lets this pass unchanged."""


@dataclass(slots=True)
class Gate:
    """One request and how far it has got.

    `begun`: from here on it may have been taken. `deadline` limits connecting first; `patience` are the seconds until
    the whole answer is there, counted from the first octet. While `before_dot` is asked no clock runs.
    """

    before_dot: BeforeDot | None
    patience: float
    deadline: asyncio.Timeout
    asked: bool = False
    begun: bool = False
    status: int = 0
    raised: Exception | None = None

    async def passed(self, connection: aiohttp.connector.Connection) -> bool:
        """False when the connection turned out to be closed, and another one is needed. Asks `before_dot` once.

        Raises `Stopped` when the request must not begin.
        """
        if self.begun:
            return True  # aiohttp repeats a GET on a fresh connection, and nothing else
        if not await _is_alive(connection):
            return False
        if self.before_dot is not None and not self.asked:
            await self._ask(self.before_dot)
            if not await _is_alive(connection):
                return False
        self.begun = True
        self.deadline.reschedule(asyncio.get_running_loop().time() + self.patience)
        return True

    async def _ask(self, before_dot: BeforeDot) -> None:
        self.asked = True
        self.deadline.reschedule(None)
        try:
            go = await before_dot()
        except Exception as error:
            # Kept aside: aiohttp would take an OSError or TimeoutError of the caller's for its own.
            self.raised = error
            raise Stopped from error
        if not go:
            raise Stopped


async def _is_alive(connection: aiohttp.connector.Connection) -> bool:
    """The end of a kept one may lie in its socket, unread: the loop sees it within its next two rounds.

    Here, too, strikes a deadline that passed in the very moment in which the connection came.
    """
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return connection.protocol is not None and connection.protocol.is_connected()


GATE: ContextVar[Gate] = ContextVar("GATE")
"""The gate of the request that this task is making."""


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
