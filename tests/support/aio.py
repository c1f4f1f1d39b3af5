"""Running a coroutine in a test: its own loop, a deadline, and nothing left behind."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal, TypeVar

import uvloop

T = TypeVar("T")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


def run(coro: Coroutine[Any, Any, T], timeout: float = 30, *, loop: Literal["uvloop", "asyncio"] = "uvloop") -> T:
    """The coroutine's result. Raises `TimeoutError` after `timeout` seconds, `AssertionError` for lost tasks.

    uvloop by default, because the services run on it.
    """
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(_bounded(coro, timeout))


async def _bounded(coro: Coroutine[Any, Any, T], timeout: float) -> T:
    before = asyncio.all_tasks()
    async with asyncio.timeout(timeout):
        result = await coro
    # What was just cancelled or closed may need a turn or two of the loop to end.
    async with asyncio.timeout(timeout):
        left = {task for task in asyncio.all_tasks() - before if not task.done()}
        done, pending = await asyncio.wait(left, timeout=1) if left else (set(), set())
    del done
    assert not pending, f"tasks left behind: {pending}"
    return result
