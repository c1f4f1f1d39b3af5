"""Errors of Postgres, distinguished by whether the same statement may succeed later."""

import psycopg
from psycopg import errors

_TRANSIENT_CLASSES = frozenset({"08", "40", "53", "57", "58"})
"""SQLSTATE classes (PostgreSQL manual, appendix A): connection, rollback (deadlock, serialization),
insufficient resources, operator intervention (shutdown, statement_timeout), system error (I/O)."""
_TRANSIENT = frozenset({"55P03", "55006", "25P03", "25P04", "25006"})
"""Lock not available, object in use, idle and transaction time-outs, read-only (a standby, not promoted)."""


class PostgresError(Exception):
    """Anything that Postgres, or the way to it, reports."""


class AwayError(PostgresError):
    """Nothing is wrong with what was asked: lost, frozen, shutting down, overloaded or in each other's way.

    What was not committed is gone; when it happened during COMMIT the outcome is unknown until asked.
    """


class StatementError(PostgresError):
    """Postgres refuses this statement or these rows, and will refuse them again. `sqlstate` says why."""

    def __init__(self, message: str, sqlstate: str | None) -> None:
        """The message is Postgres' own; it may quote values."""
        super().__init__(message)
        self.sqlstate = sqlstate


def translated(error: psycopg.Error) -> PostgresError:
    """Our word for a psycopg error."""
    state = error.sqlstate
    text = " ".join(str(error).split()) or type(error).__name__
    if state is None:
        # Without a code it never came from the server: a lost or unusable connection, or our own value.
        lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
        return AwayError(text) if lost else StatementError(text, None)
    if state[:2] in _TRANSIENT_CLASSES or state in _TRANSIENT or isinstance(error, errors.InFailedSqlTransaction):
        return AwayError(f"{text} ({state})")
    return StatementError(f"{text} ({state})", state)
