"""Everything that a running system has written or shows, as bytes with a name each: for tests that search in it."""

import asyncio
import os
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
from psycopg import sql

from deploy.local import postgres, proc
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.content import decode_content
from libs.common.jetstream.streams import CONTENT
from tests.e2e.stack import Stack

Seen = Iterator[tuple[str, bytes]]


def messages(stack: Stack) -> Seen:
    """Every message of every stream with its headers; bodies of emails as they were before they were compressed."""

    async def read() -> list[tuple[str, bytes]]:
        found = []
        async with _bus(stack) as bus:
            for stream in (await bus.api("STREAM.NAMES"))["streams"]:
                async for message in bus.direct_batch(stream, ">"):
                    data = message.data
                    if stream == CONTENT:
                        data += repr(decode_content(data)).encode()
                    head = f"{message.subject} {dict(message.headers)} ".encode()
                    found.append((f"{stream} {message.sequence}", head + data))
        return found

    yield from asyncio.run(read())


def tables(stack: Stack) -> Seen:
    """Every table of the database, as `COPY` writes it: what the files hold compressed is in clear here."""
    password = (stack.home.secrets / "postgres-superuser").read_text().strip()
    url = postgres.url(stack.parts()["postgres"]["port"], postgres.SUPERUSER, password)
    with psycopg.connect(url, autocommit=True) as connection:
        names = connection.execute(
            "SELECT nspname, relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace "
            "WHERE relkind = 'r' AND relpersistence <> 't' AND nspname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, name in names:
            statement = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(schema, name))
            with connection.cursor().copy(statement) as copy:
                yield f"table {schema}.{name}", b"".join(bytes(piece) for piece in copy)


def command_lines(stack: Stack) -> Seen:
    """Of every process."""
    yield from _of_processes(stack, "cmdline")


def environments(stack: Stack) -> Seen:
    """Of every process."""
    yield from _of_processes(stack, "environ")


def _of_processes(stack: Stack, what: str) -> Seen:
    for pid in proc.tree(stack.process.pid):
        try:
            yield f"{what} of {pid}", Path(f"/proc/{pid}/{what}").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # a backend of Postgres that has ended


def own_pages(ports: dict[str, int]) -> Seen:
    """What each service shows on its own port, to whoever is inside."""
    for name, port in ports.items():
        for path in ("/metrics", "/healthz", "/readyz", "/openapi.json"):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                yield f"{name}{path}", answer.read()


def log_everything(folder: Path) -> dict[str, str]:
    """The environment in which every Python process logs from DEBUG on; it says so in its log."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import logging\n"
        "usual = logging.basicConfig\n"
        "def everything(**settings):\n"
        "    usual(**{**settings, 'level': logging.DEBUG})\n"
        "    logging.getLogger('test').debug('everything is logged')\n"
        "logging.basicConfig = everything\n"
    )
    before = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{before}" if before else str(folder)}


@asynccontextmanager
async def _bus(stack: Stack) -> AsyncIterator[Bus]:
    bus = Bus(stack.nats_url, name="test")
    await bus.start()
    try:
        assert await bus.wait_connected(5)
        yield bus
    finally:
        await bus.close()
