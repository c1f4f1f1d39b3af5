"""A log of its own for each test of the sender."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.servers import NatsAddress
from tests.support.sending import Sending, sending


@pytest.fixture
async def world(clean_nats: NatsAddress, tmp_path: Path) -> AsyncIterator[Sending]:
    async with sending(clean_nats.url, clean_nats.monitor_url, tmp_path) as ready:
        yield ready
