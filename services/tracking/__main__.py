"""The tracking service: opens and clicks, without ever holding up an answer (`python -m services.tracking`)."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from libs.common.jetstream.bus import Bus
from libs.common.jetstream.email_log import AcceptedLookup
from libs.common.settings import load
from libs.common.web import ASGIApp, Service, background, create_app, run
from libs.common.web.principal import read_key
from services.tracking.hits.api import Door, hit_routes
from services.tracking.hits.description import PATHS
from services.tracking.hits.limit_rules import EmailLimit, VisitorLimit
from services.tracking.hits.record import Recorder
from services.tracking.settings import TrackingSettings
from services.tracking.spool.replay import replay
from services.tracking.spool.spool import Spool


def main() -> None:
    """Serve until told to stop."""
    run(load(TrackingSettings), open_service)


@asynccontextmanager
async def open_service(settings: TrackingSettings) -> AsyncIterator[ASGIApp]:
    """Everything this process is made of, from the bottom up."""
    principal_key = read_key(settings.principal_key_file)
    bus = Bus(settings.nats_url, name="tracking")
    accepted = AcceptedLookup(bus)
    spool = Spool(settings.spool_dir, max_bytes=settings.spool_max_bytes)
    spool.open()
    recorder = Recorder(bus, accepted, spool, EmailLimit())
    door = Door(
        accepted=accepted,
        take=recorder.take,
        visitors=VisitorLimit(),
        ip_mode=settings.ip_mode,
        ip_key=hmac.digest(principal_key, b"temps hashed visitor addresses", hashlib.sha256),
    )
    service = Service(
        name="tracking",
        routers=[hit_routes(door)],
        principal_key=principal_key,
        waiting_for=lambda: [] if bus.connected else ["nats"],
        degraded=lambda: [] if bus.connected else ["nats"],
        serves_degraded=True,
        described=PATHS,
    )
    await bus.start()
    try:
        async with background(recorder.run(), replay(bus, spool, recorder)):
            try:
                yield create_app(service)
            finally:
                await recorder.drain()
    finally:
        spool.close()
        await bus.close()


if __name__ == "__main__":
    main()
