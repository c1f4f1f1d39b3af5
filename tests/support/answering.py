"""The analytics service's HTTP side over read models that a test has filled."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from libs.common.jetstream.bus import Bus
from libs.common.web import Service, create_app
from services.analytics.__main__ import MODELS, ROUTERS, STATEMENT_SECONDS
from services.analytics.context import Dependencies
from services.analytics.postgres import Database as Pool
from services.analytics.projector import live_schemas
from tests.support.asgi import Answer, App, ask, principal

KEY = b"k" * 32
READER = frozenset({"emails:read"})


class Standing:
    """Checkpoints that stand where the test put them."""

    # ruff: noqa: ARG002 - the signatures are the port's

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.waited: list[int] = []

    def position(self, stream: str, model: str | None = None) -> int:
        return self.at

    async def wait_for(self, stream: str, sequence: int, timeout: float, *, model: str | None = None) -> bool:
        self.waited.append(sequence)
        return self.at >= sequence


@dataclass
class Answering:
    """A client of one application."""

    app: App
    checkpoints: Standing

    async def get(
        self, target: str, *, scopes: frozenset[str] = READER, headers: dict[str, str] | None = None
    ) -> Answer:
        return await ask(self.app, "GET", target, key=KEY, principal=principal(scopes=scopes), headers=headers)

    async def json(self, target: str) -> Any:
        answer = await self.get(target)
        assert answer.status == 200, answer.body
        return answer.json


@asynccontextmanager
async def answering(
    url: str, *, bus_url: str = "nats://127.0.0.1:9", count_machines: bool = False
) -> AsyncIterator[Answering]:
    """The service's routes on the read models at `url`; NATS is away unless a URL is given."""
    pool = Pool(url, name="test", statement_timeout=STATEMENT_SECONDS, search_path=live_schemas(MODELS))
    bus = Bus(bus_url, name="test")
    checkpoints = Standing()
    await pool.open()
    await bus.start()
    try:
        deps = Dependencies(pool, bus, checkpoints, count_machines)
        yield Answering(create_app(Service("analytics", ROUTERS, KEY, state={"deps": deps})), checkpoints)
    finally:
        await pool.close()
        await bus.close()


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """What happens inside takes no longer."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < seconds
