"""Create or update every stream: run once before the services start (`python -m libs.common.bootstrap`)."""

import asyncio
import logging
import os
import sys

from libs.common import logs
from libs.common.bus import Bus, BusError, RefusedError
from libs.common.settings import PREFIX
from libs.common.streams import DEFAULT_STORE_BYTES, stream_configs

log = logging.getLogger(__name__)

_NOT_FOUND = 10059


async def bootstrap(
    bus: Bus,
    *,
    replicas: int = 1,
    retention_days: int = 45,
    store_bytes: int = DEFAULT_STORE_BYTES,
) -> None:
    """Create or update the streams. Raises BusError when the server refuses."""
    for config in stream_configs(replicas=replicas, retention_days=retention_days, store_bytes=store_bytes):
        name = config["name"]
        try:
            await bus.api(f"STREAM.INFO.{name}")
        except RefusedError as error:
            if error.err_code != _NOT_FOUND:
                raise
            await bus.api(f"STREAM.CREATE.{name}", config)
            log.info("created %s", name)
        else:
            await bus.api(f"STREAM.UPDATE.{name}", config)


async def _main() -> int:
    environment = os.environ
    bus = Bus(environment[f"{PREFIX}NATS_URL"], name="bootstrap")
    await bus.start()
    try:
        if not await bus.wait_connected(15):
            log.error("NATS is not there")
            return 1
        await bootstrap(
            bus,
            replicas=int(environment.get(f"{PREFIX}NATS_REPLICAS", "1")),
            retention_days=int(environment.get(f"{PREFIX}CONTENT_RETENTION_DAYS", "45")),
            store_bytes=int(environment.get(f"{PREFIX}STORE_BYTES", DEFAULT_STORE_BYTES)),
        )
    except BusError as error:
        log.error("the streams cannot be made: %s", error)  # noqa: TRY400 - the text says it all
        return 1
    finally:
        await bus.close()
    return 0


if __name__ == "__main__":
    logs.configure()
    sys.exit(asyncio.run(_main()))
