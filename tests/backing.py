"""The servers that tests stand on: at an address in the environment, else started from the wheels."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import nats
import psycopg
from psycopg import sql

from deploy.local import postgres
from deploy.local.servers import NatsAddress, PostgresAddress, running_nats, running_postgres

NATS_URL = "TEMPS_TEST_NATS_URL"
NATS_MONITOR_URL = "TEMPS_TEST_NATS_MONITOR_URL"
POSTGRES_URL = "TEMPS_TEST_POSTGRES_URL"
_ROLE_PASSWORD = "temps-tests"


@dataclass(frozen=True)
class GivenPostgres:
    """A server that somebody else runs; the URL is a superuser's."""

    superuser_url: str

    def url(self, role: str = postgres.SUPERUSER, database: str = "postgres") -> str:
        parts = urlsplit(self.superuser_url)
        login = parts.netloc
        if role != postgres.SUPERUSER:
            login = f"{role}:{_ROLE_PASSWORD}@{parts.netloc.rpartition('@')[2]}"
        return urlunsplit((parts.scheme, login, f"/{database}", parts.query, ""))


PostgresServer = PostgresAddress | GivenPostgres


@dataclass(frozen=True)
class Database:
    """One empty database: `url` is analytics', `owner_url` may create tables, `superuser_url` may all."""

    name: str
    url: str
    owner_url: str
    superuser_url: str


def origins() -> str:
    """For the test header: where each server comes from."""
    return ", ".join(
        f"{name} {'given in ' + variable if variable in os.environ else 'embedded'}"
        for name, variable in (("nats", NATS_URL), ("postgres", POSTGRES_URL))
    )


@contextmanager
def nats_server(directory: Path) -> Iterator[NatsAddress]:
    if NATS_URL in os.environ:
        yield NatsAddress(os.environ[NATS_URL], os.environ.get(NATS_MONITOR_URL, "http://127.0.0.1:8222"))
        return
    with running_nats(directory) as address:
        yield address


@contextmanager
def postgres_server(directory: Path) -> Iterator[PostgresServer]:
    if POSTGRES_URL in os.environ:
        given = GivenPostgres(os.environ[POSTGRES_URL])
        _ensure_roles(given)
        yield given
        return
    with running_postgres(directory) as address:
        yield address


async def delete_streams(url: str) -> None:
    """Everything that JetStream holds goes, consumers with their streams; quicker than a new server."""
    connection = await nats.connect(url)
    try:
        jetstream = connection.jetstream()
        for stream in await jetstream.streams_info():
            if stream.config.name is not None:
                await jetstream.delete_stream(stream.config.name)
    finally:
        await connection.close()


@contextmanager
def new_database(server: PostgresServer, name: str) -> Iterator[Database]:
    with psycopg.connect(server.url(), autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}").format(
                sql.Identifier(name), sql.Identifier(_template(server)), sql.Identifier(postgres.OWNER)
            )
        )
    try:
        yield Database(
            name,
            server.url(postgres.ANALYTICS, name),
            server.url(postgres.OWNER, name),
            server.url(postgres.SUPERUSER, name),
        )
    finally:
        with psycopg.connect(server.url(), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _template(server: PostgresServer) -> str:
    return postgres.DATABASE if isinstance(server, PostgresAddress) else "temps_test_template"


def _ensure_roles(server: GivenPostgres) -> None:
    """The same roles and default privileges as deploy.local.postgres gives to a server of ours."""
    with psycopg.connect(server.url(), autocommit=True) as admin:
        for role in (postgres.OWNER, postgres.ANALYTICS):
            if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
                admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            admin.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(_ROLE_PASSWORD))
            )
        name = _template(server)
        if admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            admin.execute(
                sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(postgres.OWNER))
            )
            with psycopg.connect(server.url(database=name), autocommit=True) as template:
                for statement in postgres.PRIVILEGES:
                    template.execute(statement)
