"""One running stack for the end-to-end tests: five services, NATS, Postgres and the inbox, each its own process."""

from collections.abc import Iterator

import pytest

from tests.e2e.client import Api
from tests.e2e.stack import Stack, running


@pytest.fixture(scope="session")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("home") / "local") as stack:
        yield stack


@pytest.fixture
def stack(_stack: Stack) -> Stack:
    """The stack with every part up and ready, whatever the test before did to it."""
    _stack.ready()
    return _stack


@pytest.fixture
def api(stack: Stack) -> Iterator[Api]:
    """A caller with the first key."""
    with Api(stack.url, stack.key) as caller:
        yield caller
