"""One running stack for the end-to-end tests: five services, NATS, Postgres and the inbox, each its own process."""

from collections.abc import Iterator

import pytest

from tests.e2e.client import Api, until
from tests.e2e.stack import Stack, running_stack


@pytest.fixture(scope="session")
def _stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def stack(_stack: Stack) -> Stack:
    """The stack with every part up and ready, whatever the test before did to it."""
    until(_stack.ready, lambda ready: ready, seconds=60, what="every part ready")
    return _stack


@pytest.fixture
def api(stack: Stack) -> Api:
    """A caller with the first key."""
    return Api(stack.url, stack.key)
