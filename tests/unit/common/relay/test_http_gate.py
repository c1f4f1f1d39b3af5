"""The last moment before a request is written: a connection that has ended by then is not used."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

from libs.common.relay.http.gate import Gate


async def test_a_connection_that_has_just_ended_is_not_used() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)  # noqa: FBT003 - the library's own argument
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    await asyncio.sleep(0)
    theirs.close()
    asked = False

    async def before_dot() -> bool:
        nonlocal asked
        asked = True
        return True

    connection: Any = SimpleNamespace(protocol=SimpleNamespace(is_connected=lambda: not transport.is_closing()))
    async with asyncio.timeout(5) as deadline:
        gate = Gate(before_dot, 30, deadline)
        assert not await gate.passed(connection)
    assert not asked
    assert not gate.begun
