"""How long something held the event loop: whoever waits for an answer meanwhile waits for that, too.

A beat that comes late says that the loop did something else in between. Late alone would also say that the machine was
busy with other processes; so no more counts than the processor time that this process used meanwhile. (That includes
its threads: a search in C over megabytes holds the interpreter's lock, and with it the loop.)
"""

import asyncio
import time

from prometheus_client import Histogram

BEAT_SECONDS = 0.05
LIMIT_SECONDS = 0.1
"""No request may hold the loop for longer."""

HELD = Histogram(
    "temps_event_loop_held_seconds",
    "How long something held the event loop, from 10 ms on",
    buckets=(0.02, 0.05, LIMIT_SECONDS, 0.25, 0.5, 1, 2.5, 5, 10),
)


async def watch_loop() -> None:
    """Beat for ever, and note what comes late."""
    loop = asyncio.get_running_loop()
    while True:
        due, used = loop.time() + BEAT_SECONDS, time.process_time()
        await asyncio.sleep(BEAT_SECONDS)
        held = min(loop.time() - due, time.process_time() - used)
        if held > 0.01:
            HELD.observe(held)
