"""Several questions to the read models over one snapshot; before they are made, an honest refusal."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.errors import UnavailableError
from services.analytics.postgres import Database, StatementError, Transaction

_NOT_MADE_YET = frozenset({"42P01", "42501", "3F000"})
"""No such table, no privilege on it yet, no such schema (PostgreSQL manual, appendix A)."""


@asynccontextmanager
async def asking(database: Database) -> AsyncIterator[Transaction]:
    """A read-only transaction. Raises UnavailableError when Postgres is away or the read models do not exist yet."""
    try:
        async with database.transaction() as ask:
            yield ask
    except StatementError as error:
        if error.sqlstate in _NOT_MADE_YET:
            raise UnavailableError("the read models are not made yet", retry_after=2) from error
        raise
