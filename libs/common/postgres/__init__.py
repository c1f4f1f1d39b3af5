"""The one door to Postgres: nothing else imports psycopg."""

from libs.common.postgres.database import Database, Transaction
from libs.common.postgres.errors import AwayError, PostgresError, StatementError
from libs.common.postgres.session import Session, role_of
from libs.common.postgres.statements import load_statements

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
