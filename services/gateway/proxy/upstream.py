"""A service as the gateway sees it: an address, the connections that are kept open to it, and how many are in use."""

import asyncio
from urllib.parse import urlsplit

from services.gateway.ports import Exchange, RefusedError
from services.gateway.proxy.connection import Connection

_MAX_IDLE = 256
_IDLE_SECONDS = 30.0
"""Less than half of what our services keep an idle connection open: who closes first is no race."""
_CONNECT_SECONDS = 2.0
MAX_IN_FLIGHT = 512
"""A frozen service may hold so many requests and no more; the others go on."""


class Upstream:
    """The pool of one service."""

    def __init__(self, name: str, url: str, *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        """`url` is `http://host:port`; nothing is connected before the first request."""
        parts = urlsplit(url)
        self.name = name
        self.authority = parts.netloc.encode("ascii")
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._idle: list[Connection] = []
        self._limit = max_in_flight
        self.in_flight = 0

    @property
    def is_full(self) -> bool:
        """True if the service has its maximum of requests in progress."""
        return self.in_flight >= self._limit

    def idle(self) -> Connection | None:
        """A connection that is open already, the one used last first."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if now - connection.idle_since < _IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    async def connect(self) -> Connection:
        """A fresh connection. Raises RefusedError."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                _, connection = await loop.create_connection(lambda: Connection(self._forget), self._host, self._port)
        except (OSError, TimeoutError) as error:
            raise RefusedError(f"{self.name} cannot be reached: {error!r}") from error
        return connection

    def give_back(self, connection: Exchange) -> None:
        """End the connection's exchange; it is kept when it may serve another."""
        if isinstance(connection, Connection) and connection.finish():
            if len(self._idle) < _MAX_IDLE:
                connection.idle_since = asyncio.get_running_loop().time()
                self._idle.append(connection)
            else:
                connection.abort()

    def close(self) -> None:
        """Close what is idle; what is in use ends with its request."""
        while self._idle:
            self._idle.pop().abort()

    def _forget(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
