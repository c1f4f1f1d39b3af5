"""A bus on a real server, through a wire that the test may cut, and facts to put on it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID

from deploy.local.servers import NatsAddress
from libs.common.facts import Actor, Envelope, new_envelope
from libs.common.facts.email import EmailDeferred
from libs.common.facts.key import KeyCreated, KeyState
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from tests.support.wire import Wire

ACTOR = Actor(id="test", kind="system")
MEGABYTES = 2**20


@asynccontextmanager
async def wired_bus(nats: NatsAddress) -> AsyncIterator[tuple[Bus, Wire]]:
    """A connected bus with every stream made, and the wire it hangs on."""
    address = urlsplit(nats.url)
    async with Wire(address.hostname or "", address.port or 0) as wire:
        bus = Bus(f"nats://127.0.0.1:{wire.port}", name="test")
        await bus.start()
        assert await bus.wait_connected(5)
        await bootstrap(bus, store_bytes=64 * MEGABYTES)
        try:
            yield bus, wire
        finally:
            await bus.close()


async def cut_and_reconnect(bus: Bus, wire: Wire) -> None:
    """Break the connection and wait until there is a new one."""
    before = bus.connections
    wire.cut()
    async with asyncio.timeout(5):
        while bus.connections == before or not bus.connected:
            await asyncio.sleep(0.01)


def key_created(number: int) -> Envelope:
    state = KeyState(
        id=number,
        name=f"key {number}",
        prefix="tk_x",
        sha256=f"{number:064x}",
        user_id=1,
        role=None,
        scopes=[],
        expires_at=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    return new_envelope(KeyCreated(key=state), source="test", actor=ACTOR, at=datetime.now(UTC))


def deferred(email_id: UUID, attempt: int = 1) -> Envelope:
    fact = EmailDeferred(email_id=email_id, attempt=attempt, provider_id=1, recipients=[])
    return new_envelope(fact, source="test", actor=ACTOR, at=datetime.now(UTC))
