"""The tracking service in this process, on a real NATS behind a wire, with emails to hit."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from deploy.local.servers import NatsAddress
from libs.common.facts import Actor, Envelope, decode, new_envelope, uuid7
from libs.common.facts.email import ContentRef, EmailAccepted, EmailCaptured, Recipient, Route
from libs.common.jetstream.append import append
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.streams import TRACKING
from services.tracking.__main__ import open_service
from services.tracking.settings import TrackingSettings
from tests.support.asgi import Answer, App, ask, principal
from tests.support.wire import Wire

KEY = b"t" * 32
LINKS = ["https://example.com/one", "https://bücher.example/zwei drei", "https://example.com/three"]


@dataclass(frozen=True)
class Public:
    """Calls as the gateway passes them on from the public, and the log beside it, on a connection of its own."""

    app: App
    bus: Bus

    async def __call__(self, method: str, path: str, **visitor: Any) -> Answer:
        by = principal(kind="anonymous", user_id=None, **visitor)
        return await ask(self.app, method, path, key=KEY, principal=by)

    async def open(self, email_id: UUID | str, method: str = "GET", **visitor: Any) -> Answer:
        return await self(method, f"/api/emails/{email_id}/track/open", **visitor)

    async def click(self, email_id: UUID | str, n: int | str, method: str = "GET", **visitor: Any) -> Answer:
        return await self(method, f"/api/emails/{email_id}/track/click/{n}", **visitor)

    async def accepted(self, *, captured: bool = False, **other: Any) -> UUID:
        """A new email with a pixel and links."""
        return await accept(self.bus, captured=captured, **other)

    async def facts(self) -> list[Envelope]:
        """Everything recorded so far."""
        return [
            decode(message.data, log_subject=message.subject, stream=TRACKING, sequence=message.sequence)
            async for message in self.bus.direct_batch(TRACKING, "track.>")
        ]

    async def recorded(self, number: int) -> list[Envelope]:
        """Wait until so many are there."""
        async with asyncio.timeout(20):
            while (await self.bus.stream_state(TRACKING)).messages < number:
                await asyncio.sleep(0.01)
        facts = await self.facts()
        assert len(facts) == number
        return facts

    async def metric(self, kind: str, outcome: str) -> float:
        """How many hits ended that way, in this test process."""
        text = (await self("GET", "/metrics")).body.decode()
        prefix = f'temps_hits_total{{kind="{kind}",outcome="{outcome}"}} '
        return next((float(line.removeprefix(prefix)) for line in text.splitlines() if line.startswith(prefix)), 0.0)


async def accept(bus: Bus, *, captured: bool = False, **other: Any) -> UUID:
    email_id: UUID = other.pop("email_id", None) or uuid7()
    members: dict[str, Any] = {
        "email_id": email_id,
        "provider_id": None if captured else 1,
        "domain_id": None,
        "route": Route(reason="none" if captured else "default"),
        "from_address": "a@example.com",
        "from_name": None,
        "recipients": [Recipient(address="b@example.com", kind="to")],
        "reply_to": [],
        "subject": "Hello",
        "tags": [],
        "metadata": {},
        "message_id": f"<{email_id}@example.com>",
        "content": ContentRef(sequence=1, sha256="0" * 64, size=1, expires_at=None),
        "has_html": True,
        "has_text": False,
        "track_opens": True,
        "track_clicks": True,
        "pixel": True,
        "links": LINKS,
        "rewriter_version": 1,
        **other,
    }
    fact = (EmailCaptured if captured else EmailAccepted).model_validate(members)
    envelope = new_envelope(fact, source="test", actor=Actor(id="t", kind="system"), at=datetime.now(UTC))
    await append(bus, envelope)
    return email_id


def settings_for(nats_url: str, directory: Path, **other: Any) -> TrackingSettings:
    signing = directory / "principal.key"
    signing.write_text(base64.b64encode(KEY).decode())
    return TrackingSettings(nats_url=nats_url, principal_key_file=signing, spool_dir=directory / "spool", **other)


@asynccontextmanager
async def log_and_wire(nats: NatsAddress) -> AsyncIterator[tuple[Bus, Wire]]:
    """A bus of the test's own, and the wire that services hang on."""
    address = urlsplit(nats.url)
    async with Wire(address.hostname or "", address.port or 0) as wire:
        bus = Bus(nats.url, name="test")
        await bus.start()
        assert await bus.wait_connected(5)
        await bootstrap(bus, store_bytes=64 * 2**20)
        try:
            yield bus, wire
        finally:
            await bus.close()


@asynccontextmanager
async def tracking(bus: Bus, wire: Wire | None, directory: Path, **other: Any) -> AsyncIterator[Public]:
    """The service; ready if there is a wire to hang on."""
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and never listened on: whoever connects is refused
        port = wire.port if wire is not None else taken.getsockname()[1]
        async with open_service(settings_for(f"nats://127.0.0.1:{port}", directory, **other)) as app:
            public = Public(app, bus)
            while wire is not None and (await public("GET", "/readyz")).status != 200:
                await asyncio.sleep(0.01)
            yield public


async def away(public: Public, wire: Wire) -> None:
    """Cut the service off, and wait until it knows."""
    wire.refusing = True
    wire.cut()
    async with asyncio.timeout(5):
        while (await public("GET", "/readyz")).json.get("degraded") != ["nats"]:
            await asyncio.sleep(0.01)


async def back(public: Public, wire: Wire) -> None:
    """Connect it again."""
    wire.refusing = False
    async with asyncio.timeout(10):
        while (await public("GET", "/readyz")).json["status"] != "ready":
            await asyncio.sleep(0.01)
