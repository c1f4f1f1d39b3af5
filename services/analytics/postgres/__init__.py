"""The one door to Postgres: nothing else imports psycopg."""

from services.analytics.postgres.database import Database, Transaction
from services.analytics.postgres.errors import AwayError, PostgresError, StatementError
from services.analytics.postgres.session import Session, role_of
from services.analytics.postgres.statements import load_statements

__all__ = [
    "AwayError",
    "Database",
    "PostgresError",
    "Session",
    "StatementError",
    "Transaction",
    "load_statements",
    "role_of",
]
