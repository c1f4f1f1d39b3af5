"""Closing a bus that never got a connection."""

import asyncio
from typing import Any, NoReturn

import pytest

from libs.common.jetstream.bus import Bus
from tests.support.aio import run


def test_a_refusal_in_the_moment_of_closing_does_not_keep_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """`asyncio.wait_for`, inside nats-py, loses a cancellation when its connection is refused in the same turn."""

    async def main() -> None:
        asked, refuse = asyncio.Event(), asyncio.Event()

        async def open_connection(*_: Any, **__: Any) -> NoReturn:
            asked.set()
            await refuse.wait()
            raise ConnectionRefusedError

        monkeypatch.setattr(asyncio, "open_connection", open_connection)
        bus = Bus("nats://127.0.0.1:1", name="test")
        await bus.start()
        await asked.wait()
        refuse.set()
        await asyncio.wait_for(asyncio.create_task(bus.close()), 5)
        assert bus.errors == 1, "the refusal was heard, and the cancellation with it or not at all"

    run(main())
