"""Ask the log for its last word before a negative answer, without letting a flood of bad keys hammer it."""

import asyncio

from libs.common.jetstream.views import View

_PAUSE = 0.05


class FreshView:
    """A view, refreshed by at most one question at a time and twenty a second, however many are waiting."""

    def __init__(self, view: View) -> None:
        """`view` is run elsewhere."""
        self._view = view
        self._pending: asyncio.Task[bool] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._not_before = 0.0

    @property
    def position(self) -> int:
        """The sequence of the last fact that was applied."""
        return self._view.position

    @property
    def silent_for(self) -> float:
        """Seconds since the server last proved that nothing is missing."""
        return self._view.silent_for

    @property
    def is_caught_up(self) -> bool:
        """True once the view has caught up for the first time."""
        return self._view.caught_up.is_set()

    async def refresh(self) -> bool:
        """Catch up with the set's last fact.

        A question that is already asked proves nothing about now: who comes meanwhile waits for the next one, which
        serves all that wait.
        """
        if self._pending is None:
            self._pending = asyncio.create_task(self._ask())
        return await asyncio.shield(self._pending)

    async def _ask(self) -> bool:
        async with self._one_at_a_time:
            loop = asyncio.get_running_loop()
            await asyncio.sleep(max(0.0, self._not_before - loop.time()))
            self._pending = None
            self._not_before = loop.time() + _PAUSE
            return await self._view.refresh()
