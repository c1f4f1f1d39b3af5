"""Watch one request from the side: whether the client has gone, and who is too slow.

One timer per request, because a task per request would cost more than forwarding it. It ticks seldom: most requests
are over before the first tick.
"""

import asyncio
import enum
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

_TICK = 0.5
_WHOLE_BODY = 10
"""A body that trickles ends after so many times `body_timeout`, however steadily it comes."""


class Reason(enum.Enum):
    """Why a request was ended from here."""

    CLIENT_LEFT = "client left"
    CLIENT_SLOW = "client slow"
    TOO_LARGE = "too large"
    SERVICE_SLOW = "service slow"


class Guard:
    """Cancels the task that made it, and says why in `reason`."""

    def __init__(
        self,
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        *,
        answer_timeout: float,
        body_timeout: float,
    ) -> None:
        """The clock for the first part of the body runs from now; times in seconds."""
        self.reason: Reason | None = None
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._receive = receive
        self._answer_timeout, self._body_timeout = answer_timeout, body_timeout
        now = self._loop.time()
        self._until, self._slow = now + body_timeout, Reason.CLIENT_SLOW
        self._last_of_body = now + _WHOLE_BODY * body_timeout
        self._body_is_read = False
        self._tick_every = min(_TICK, answer_timeout / 4, body_timeout / 4)
        self._watch: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(self._tick_every, self._tick)

    def await_body(self) -> None:
        """More of the body is to come from the client."""
        self._until = min(self._loop.time() + self._body_timeout, self._last_of_body)

    def await_answer(self) -> None:
        """The body is read: it is the service's turn, and the client has nothing left to say but good-bye."""
        self._body_is_read = True
        self._slow = Reason.SERVICE_SLOW
        self.go_on()

    def go_on(self) -> None:
        """Something of the answer has come. While the body is still being sent, its own deadline stays."""
        if self._body_is_read:
            self._until = self._loop.time() + self._answer_timeout

    def end(self, reason: Reason) -> None:
        """Cancel the request."""
        if self.reason is None:
            self.reason = reason
            if self._task is not None:
                self._task.cancel()

    def leave(self) -> NoReturn:
        """The client has gone before anything was done for it."""
        self.reason = Reason.CLIENT_LEFT
        raise asyncio.CancelledError

    def accept_cancel(self) -> None:
        """The CancelledError that came from here has been dealt with."""
        if self._task is not None:
            self._task.uncancel()

    def stop(self) -> None:
        """The request is over."""
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()

    def _tick(self) -> None:
        if self._loop.time() > self._until:
            self.end(self._slow)
            return
        if self._body_is_read and self._watch is None:
            self._watch = self._loop.create_task(self._watch_client())
        self._timer = self._loop.call_later(self._tick_every, self._tick)

    async def _watch_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.end(Reason.CLIENT_LEFT)
