"""One connection to Postgres whose every wait ends: a frozen server must look like one that is away.

A server under SIGSTOP still takes TCP connections and acknowledges segments (its kernel does), so neither
keepalive nor `tcp_user_timeout` notices. And a cancelled psycopg call first asks the server to cancel, then
waits for it. So a timer of ours shuts the socket down: the waiting call fails and the connection is done with.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from services.analytics.postgres.errors import AwayError, translated

Parameters = Mapping[str, Any] | Sequence[Any] | None
Connection = psycopg.AsyncConnection[tuple[Any, ...]]

_CONNECT_SECONDS = 2
_GRACE = 1.0
"""A slow statement is ended by the server's own statement_timeout; only a silent server is cut off by us."""


def connect_arguments(name: str, *, statement_timeout: float, search_path: Sequence[str] = ()) -> dict[str, Any]:
    """Connection parameters for `psycopg.connect`: short patience both ways, UTC, no surprises in plans.

    The tcp settings after `-c` are the server's: it lets go of our locks when we vanish without a word.
    """
    milliseconds = int(statement_timeout * 1000)
    settings = {
        "statement_timeout": str(milliseconds),
        "lock_timeout": str(milliseconds),
        "idle_in_transaction_session_timeout": "60000",
        "tcp_keepalives_idle": "5",
        "tcp_keepalives_interval": "2",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "10000",
        "timezone": "UTC",
        "jit": "off",
    }
    if search_path:
        settings["search_path"] = ",".join(search_path)
    return {
        "application_name": name,
        "connect_timeout": _CONNECT_SECONDS,
        "client_encoding": "UTF8",
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": 5000,
        "options": " ".join(f"-c {key}={value}" for key, value in settings.items()),
    }


def role_of(url: str) -> str:
    """The role a connection URL logs in as."""
    role = conninfo_to_dict(url).get("user")
    if not role:
        raise ValueError("a Postgres URL must name its role")
    return str(role)


@contextlib.contextmanager
def bounded(connection: Connection, seconds: float) -> Iterator[None]:
    """Everything awaited on the connection inside fails once `seconds` have passed; errors are ours."""
    loop = asyncio.get_running_loop()
    cut: list[bool] = []
    timer = loop.call_later(seconds, _sever, connection, cut)
    try:
        yield
    except psycopg.Error as error:
        if cut:
            raise AwayError(f"no answer from Postgres in {seconds:g} s") from error
        raise translated(error) from error
    finally:
        timer.cancel()


class Session:
    """One connection in autocommit mode, for one task. Raises AwayError and StatementError alone."""

    def __init__(self, connection: Connection, patience: float) -> None:
        """Use `Session.open`."""
        self._connection = connection
        self._patience = patience

    @classmethod
    async def open(cls, url: str, *, name: str, statement_timeout: float = 10.0) -> "Session":
        """Connect. Raises AwayError within two seconds for an absent server and a frozen one alike."""
        arguments = connect_arguments(name, statement_timeout=statement_timeout)
        try:
            connection = await psycopg.AsyncConnection.connect(url, autocommit=True, **arguments)
        except psycopg.Error as error:
            # Also a refused login: the database may still be on its way to being set up.
            raise AwayError(" ".join(str(error).split())) from error
        return cls(connection, statement_timeout + _GRACE)

    @property
    def broken(self) -> bool:
        """Nothing can be done with it any more."""
        return self._connection.closed or self._connection.pgconn.status != pq.ConnStatus.OK

    async def run(self, statements: str, *, patience: float | None = None) -> None:
        """Send one or several statements without parameters in one round trip."""
        with bounded(self._connection, patience or self._patience):
            await self._connection.execute(statements, prepare=False)

    async def rows(self, statement: str, parameters: Parameters = None) -> list[tuple[Any, ...]]:
        """The rows of one statement."""
        with bounded(self._connection, self._patience):
            cursor = await self._connection.execute(statement, parameters)
            return await cursor.fetchall()

    async def count(self, statement: str, parameters: Parameters = None) -> int:
        """How many rows one statement touched."""
        with bounded(self._connection, self._patience):
            return (await self._connection.execute(statement, parameters)).rowcount

    async def copy(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """COPY rows into a table; the names are ours, never from outside."""
        statement = f"COPY {table} ({', '.join(columns)}) FROM STDIN"
        with bounded(self._connection, self._patience):
            async with self._connection.cursor().copy(statement) as copy:
                for row in rows:
                    await copy.write_row(row)

    async def stream(
        self, statement: str, parameters: Parameters = None, *, size: int = 2000
    ) -> AsyncIterator[list[tuple[Any, ...]]]:
        """The rows of a statement in chunks, by a cursor in the server."""
        async with self.transaction():
            cursor = self._connection.cursor("chunks")
            with bounded(self._connection, self._patience):
                await cursor.execute(statement, parameters)
            while True:
                with bounded(self._connection, self._patience):
                    chunk = await cursor.fetchmany(size)
                if not chunk:
                    break
                yield chunk
            with bounded(self._connection, self._patience):
                await cursor.close()

    @contextlib.asynccontextmanager
    async def transaction(self, *, begun: bool = False) -> AsyncIterator[None]:
        """Commit at the end, roll back on any error. AwayError out of the commit: its outcome is unknown."""
        if not begun:
            await self.run("BEGIN")
        try:
            yield
        except BaseException:
            if not self.broken:
                # The error itself is what matters; a session that cannot even roll back shows as broken.
                with contextlib.suppress(AwayError):
                    await self.run("ROLLBACK")
            raise
        await self.run("COMMIT")

    @classmethod
    @contextlib.asynccontextmanager
    async def several(
        cls, count: int, url: str, *, name: str, statement_timeout: float = 10.0
    ) -> AsyncIterator[list["Session"]]:
        """That many sessions, closed at the end."""
        async with contextlib.AsyncExitStack() as stack:
            sessions = []
            for _ in range(count):
                session = await cls.open(url, name=name, statement_timeout=statement_timeout)
                stack.push_async_callback(session.close)
                sessions.append(session)
            yield sessions

    async def close(self) -> None:
        """Let go of the connection, also of one that does not answer."""
        await self._connection.close()


def _sever(connection: Connection, cut: list[bool]) -> None:
    cut.append(True)
    with contextlib.suppress(OSError, psycopg.Error):  # closed already: then nothing waits on it
        copy = socket.fromfd(connection.pgconn.socket, socket.AF_INET, socket.SOCK_STREAM)
        with copy:
            copy.shutdown(socket.SHUT_RDWR)
