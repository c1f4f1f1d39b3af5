"""How far the tables are, as far as this process knows, and waiting for them to be further."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping

from services.analytics.projector.checkpoints import Mark


class Positions:
    """Written by the projector, read by those who answer questions in the same process."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._marks: dict[tuple[str, str], Mark] = {}
        self._in_step: frozenset[str] = frozenset()
        self._changed = asyncio.Event()
        self._hurry = asyncio.Event()
        self._waiters = 0

    @property
    def waited_for(self) -> bool:
        """True if a request waits for a fact."""
        return self._waiters > 0

    def known(self, marks: Mapping[tuple[str, str], Mark], in_step: Iterable[str] | None = None) -> None:
        """Take note of checkpoints, and of the models that move together if that changed."""
        self._marks.update(marks)
        if in_step is not None:
            self._in_step = frozenset(in_step)
        self._changed.set()
        self._changed = asyncio.Event()

    def forget(self) -> None:
        """The tables may have been made anew."""
        self._marks.clear()

    def of(self, stream: str, model: str | None = None) -> int:
        """The last sequence in the tables of one model, or of all that move together."""
        keys = self._in_step if model is None else {model}
        marks = (self._marks.get((key, stream)) for key in keys)
        return min((mark.position for mark in marks if mark is not None), default=0)

    async def wait_for(self, stream: str, sequence: int, timeout: float, model: str | None = None) -> bool:
        """Wait until `of` has come to `sequence`; False after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self._waiters += 1
        self._hurry.set()
        try:
            while self.of(stream, model) < sequence:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._changed.wait()
        finally:
            self._waiters -= 1
            if not self._waiters:
                self._hurry.clear()
        return True

    async def pause(self, seconds: float) -> None:
        """Let facts gather for so long, unless somebody is waiting for one or comes to."""
        if seconds <= 0 or self._waiters:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
