"""Which errors of Postgres may pass by themselves."""

import psycopg
import pytest
from psycopg import errors

from services.analytics.postgres import AwayError, StatementError
from services.analytics.postgres.errors import translated


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("server closed the connection unexpectedly"),
        psycopg.InterfaceError("the connection is closed"),
        errors.DeadlockDetected("deadlock"),
        errors.SerializationFailure("could not serialize"),
        errors.AdminShutdown("terminating connection"),
        errors.QueryCanceled("statement timeout"),
        errors.TooManyConnections("too many clients"),
        errors.DiskFull("no space left on device"),
        errors.LockNotAvailable("lock timeout"),
    ],
)
def test_what_may_pass_is_away(error: psycopg.Error) -> None:
    assert isinstance(translated(error), AwayError)


@pytest.mark.parametrize(
    "error",
    [
        errors.UniqueViolation("duplicate key"),
        errors.NumericValueOutOfRange("out of range"),
        errors.UndefinedTable("no such table"),
        errors.InsufficientPrivilege("permission denied"),
        psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
        psycopg.ProgrammingError("cannot adapt type 'object'"),
    ],
)
def test_what_will_be_refused_again_is_the_statements_fault(error: psycopg.Error) -> None:
    found = translated(error)
    assert isinstance(found, StatementError)
    assert found.sqlstate == error.sqlstate
