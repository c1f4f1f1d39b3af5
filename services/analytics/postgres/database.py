"""A pool of connections for questions: each is answered, or refused as unavailable, in bounded time."""

import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from libs.common.errors import UnavailableError
from services.analytics.postgres.errors import AwayError
from services.analytics.postgres.session import Connection, Parameters, bounded, connect_arguments

_CHECK_SECONDS = 1.0
_LEND_SECONDS = 2.0
_GRACE = 1.0
_WAITING = 200
"""Questions that may wait for a connection; more are refused at once, so that an outage piles up nothing."""

Row = dict[str, Any]


class Transaction:
    """Several questions on one connection."""

    def __init__(self, connection: Connection, patience: float) -> None:
        """Made by `Database.transaction`."""
        self._connection = connection
        self._patience = patience

    async def fetch(self, statement: str, parameters: Parameters = None) -> list[Row]:
        """All rows, as dictionaries."""
        with bounded(self._connection, self._patience):
            cursor = self._connection.cursor(row_factory=dict_row)
            await cursor.execute(statement, parameters)
            return await cursor.fetchall()

    async def fetch_one(self, statement: str, parameters: Parameters = None) -> Row | None:
        """The first row, or None."""
        rows = await self.fetch(statement, parameters)
        return rows[0] if rows else None

    async def execute(self, statement: str, parameters: Parameters = None) -> int:
        """How many rows it touched."""
        with bounded(self._connection, self._patience):
            return (await self._connection.execute(statement, parameters)).rowcount


class Database:
    """Answers questions; UnavailableError (503) when Postgres is away, frozen or too slow.

    A statement that Postgres refuses for its own sake is a fault of ours and raises StatementError.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str,
        max_size: int = 8,
        statement_timeout: float = 5.0,
        search_path: Sequence[str] = (),
    ) -> None:
        """`statement_timeout` in seconds; the schemas of `search_path` need not exist yet."""
        self._patience = statement_timeout
        arguments = connect_arguments(name, statement_timeout=statement_timeout, search_path=search_path)
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url,
            kwargs={**arguments, "autocommit": True},
            min_size=1,
            max_size=max_size,
            max_waiting=_WAITING,
            # A short-lived attempt: after giving up, the next question starts a new one at once.
            reconnect_timeout=1.0,
            check=_check,
            open=False,
            name=name,
        )
        # The pool warns at each attempt with the same words: readiness says it once for all.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)

    async def open(self) -> None:
        """Connect in the background; never blocks on an absent server."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give up every connection."""
        await self._pool.close(timeout=2.0)

    async def fetch(self, statement: str, parameters: Parameters = None, *, timeout: float | None = None) -> list[Row]:
        """All rows, as dictionaries; `timeout` only ever shortens the pool's own."""
        async with self._connection(timeout) as transaction:
            return await transaction.fetch(statement, parameters)

    async def fetch_one(
        self, statement: str, parameters: Parameters = None, *, timeout: float | None = None
    ) -> Row | None:
        """The first row, or None."""
        async with self._connection(timeout) as transaction:
            return await transaction.fetch_one(statement, parameters)

    @contextlib.asynccontextmanager
    async def transaction(self, *, read_only: bool = True) -> AsyncIterator[Transaction]:
        """Several questions in one transaction; read-only ones see one and the same state."""
        mode = "ISOLATION LEVEL REPEATABLE READ READ ONLY" if read_only else ""
        async with self._connection(None) as transaction:
            await transaction.execute(f"BEGIN {mode}")
            try:
                yield transaction
            except BaseException:
                with contextlib.suppress(AwayError):  # a lost connection has rolled back by itself
                    await transaction.execute("ROLLBACK")
                raise
            await transaction.execute("COMMIT")

    async def ping(self, timeout: float = 2.0) -> bool:
        """True if Postgres answers now."""
        try:
            return await self.fetch_one("SELECT 1", timeout=timeout) is not None
        except UnavailableError:
            return False

    @contextlib.asynccontextmanager
    async def _connection(self, timeout: float | None) -> AsyncIterator[Transaction]:
        patience = self._patience if timeout is None else min(timeout, self._patience)
        try:
            async with self._pool.connection(timeout=min(patience, _LEND_SECONDS)) as connection:
                yield Transaction(connection, patience + (_GRACE if timeout is None else 0.0))
        except (AwayError, PoolTimeout, PoolClosed, TooManyRequests) as error:
            raise UnavailableError("the read models cannot be asked at the moment", retry_after=2) from error


async def _check(connection: Connection) -> None:
    """Before a connection is lent: an empty statement, so that nobody is given a dead or frozen one."""
    with bounded(connection, _CHECK_SECONDS):
        await connection.execute("")
