"""Ending tasks of ours."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

log = logging.getLogger(__name__)

_AGAIN = 0.1


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks until they are over; what one of them had ended with is only logged.

    Once is not enough: `asyncio.wait_for` of Python 3.11 loses a cancellation that comes in the moment of its result
    (cpython issue 86296, 2020; mended in 3.12).
    """
    ending = tuple(tasks)
    while left := [task for task in ending if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=_AGAIN)
    for task in ending:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.debug("%s had ended: %s", task.get_name(), error)
