"""Create or update every stream: run once before the services start (`python -m libs.common.jetstream.bootstrap`)."""

import asyncio
import logging
import sys
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from libs.common import logs
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError, RefusedError
from libs.common.jetstream.streams import DEFAULT_STORE_BYTES, stream_configs
from libs.common.settings import load

log = logging.getLogger(__name__)

_NOT_FOUND = 10059


class BootstrapSettings(BaseModel):
    """Settings of the streams, read from the environment."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True)

    nats_url: Annotated[str, Field(repr=False)]  # it may hold a password
    """NATS servers, separated by commas: `nats://user:password@host:4222`."""
    nats_replicas: int = Field(1, ge=1)
    """Copies of each stream in a NATS cluster."""
    content_retention_days: int = Field(45, ge=0)
    """Days that the bodies of emails are kept; 0 keeps them for good."""
    store_bytes: int = Field(DEFAULT_STORE_BYTES, gt=0)
    """Bytes on disk that all streams together may take; `make up` measures the disk."""


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
    settings = load(BootstrapSettings)
    bus = Bus(settings.nats_url, name="bootstrap")
    await bus.start()
    try:
        if not await bus.wait_connected(15):
            log.error("NATS is not there")
            return 1
        await bootstrap(
            bus,
            replicas=settings.nats_replicas,
            retention_days=settings.content_retention_days,
            store_bytes=settings.store_bytes,
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
