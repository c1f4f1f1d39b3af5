"""Analytics: projects the log into Postgres and answers questions from there.

`rebuild`, `verify-log` and the other operator commands run beside it (`python -m services.analytics rebuild emails`).
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common import logs
from libs.common.jetstream.bus import Bus
from libs.common.settings import load
from libs.common.web import ASGIApp, Service, background, create_app, run
from libs.common.web.principal import read_key
from services.analytics.audit import api as audit_routes
from services.analytics.audit import fold as audit
from services.analytics.context import Dependencies
from services.analytics.emails import api as email_routes
from services.analytics.emails import fold as emails
from services.analytics.events import api as tracking_routes
from services.analytics.events import fold as tracking
from services.analytics.log_copy import fold as facts
from services.analytics.operate import operate
from services.analytics.postgres import Database
from services.analytics.projector import Projector, live_schemas, read_model
from services.analytics.settings import Settings

MODELS = tuple(read_model(module) for module in (facts, emails, tracking, audit))

ROUTERS = (
    email_routes.lists,
    tracking_routes.lists,
    email_routes.missing,
    email_routes.details,
    tracking_routes.details,
    audit_routes.lists,
)
"""Literal paths first: `stats` and `events` are no ids."""

STATEMENT_SECONDS = 2.0
"""A question that takes longer is refused: with the wait for a connection an answer comes within three seconds."""


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[ASGIApp]:
    """Everything the service holds; neither NATS nor Postgres need be there when it starts."""
    bus = Bus(settings.nats_url, name="temps-analytics")
    database = Database(
        settings.postgres_url,
        name="temps-analytics",
        statement_timeout=STATEMENT_SECONDS,
        search_path=live_schemas(MODELS),
    )
    projector = Projector(bus, postgres_url=settings.postgres_url, owner_url=settings.postgres_owner_url, models=MODELS)
    service = Service(
        "analytics",
        ROUTERS,
        read_key(settings.principal_key_file),
        waiting_for=projector.waiting_for,
        degraded=projector.degraded,
        state={"deps": Dependencies(database, bus, projector, settings.count_machines)},
    )
    await bus.start()
    await database.open()
    try:
        async with background(projector.run()):
            yield create_app(service)
    finally:
        await database.close()
        await bus.close()


def main() -> None:
    """Serve, or do what the arguments say."""
    if len(sys.argv) > 1:
        logs.configure()
        sys.exit(operate(sys.argv[1:], MODELS))
    run(load(Settings), open_service)


if __name__ == "__main__":
    main()
