"""Reads that go on until JetStream answers."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from libs.common.jetstream.errors import BusError

log = logging.getLogger(__name__)

T = TypeVar("T")

_PAUSE, _MAX_PAUSE = 0.1, 1.0
"""Seconds between two reads; each pause is twice as long as the one before."""


async def persistently(read: Callable[[], Awaitable[T]]) -> T:
    """Call `read` until it no longer raises `BusError`; returns its result."""
    pause = _PAUSE
    while True:
        try:
            return await read()
        except BusError as error:
            log.debug("cannot read: %s", error)
        await asyncio.sleep(pause)
        pause = min(2 * pause, _MAX_PAUSE)
