"""Fixtures that every kind of test may ask for; servers start only when a test asks (tests/backing.py)."""

import asyncio
import itertools
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from deploy.local.servers import NatsAddress
from tests import backing
from tests.backing import Database, PostgresServer

# The same examples every time: a failure here is a failure anywhere. Deadlines measure the machine, not the code.
settings.register_profile("temps", derandomize=True, deadline=None)
settings.load_profile("temps")


class OneSystemAtATime(LoadScopeScheduling):  # type: ignore[misc] # untyped
    """With several workers one of them runs the tests of whole systems: two systems would be in each other's way."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/e2e" if nodeid.startswith("tests/e2e/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return OneSystemAtATime(config, log)


def pytest_report_header() -> str:
    return f"servers: {backing.origins()}"


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """`async def test_…` runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsAddress]:
    """One NATS for the session (each xdist worker has its own); tests mostly want `clean_nats`."""
    if backing.NATS_URL in os.environ and "PYTEST_XDIST_WORKER" in os.environ:
        pytest.exit(f"{backing.NATS_URL} names one server, and tests wipe it: run them without -n", returncode=4)
    with backing.nats_server(tmp_path_factory.mktemp("nats")) as address:
        yield address


@pytest.fixture
def clean_nats(nats_server: NatsAddress) -> NatsAddress:
    """A NATS without any stream."""
    asyncio.run(backing.delete_streams(nats_server.url))
    return nats_server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One Postgres for the session; tests mostly want `database`."""
    with backing.postgres_server(tmp_path_factory.mktemp("postgres")) as server:
        yield server


_numbers = itertools.count(1)


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    """An empty database of the test's own, with the roles and privileges of production."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    with backing.new_database(postgres_server, f"t_{worker}_{os.getpid()}_{next(_numbers)}") as fresh:
        yield fresh
