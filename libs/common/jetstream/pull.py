"""Pulling from a consumer: hand out what is there at once, keep no more requests open than were asked for.

nats-py's own `fetch` gathers until its batch is full or its time is up; a feeder wants the first message now.
"""

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import orjson

from libs.common.jetstream.errors import ConsumerGoneError, NotConnectedError
from libs.common.jetstream.message import Message, delivered

if TYPE_CHECKING:
    from libs.common.jetstream.bus import Bus

_GRACE = 2.0
"""Seconds after a request's own expiry until it is taken for lost."""
_FAREWELL, _QUIET = 0.08, 0.02
"""Seconds for either half of a goodbye, and without a message until no more are taken to be coming."""


class Puller:
    """Reads one pull consumer. One caller at a time."""

    def __init__(self, bus: "Bus", stream: str, consumer: str) -> None:
        """The consumer must exist; a missing one shows as ConsumerGoneError at the next fetch."""
        self._bus = bus
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._buffer: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._subscription: Any = None
        self._inbox = ""
        self._connection = -1
        self._outstanding = 0
        self._asked: deque[list[float]] = deque()
        """When was asked for how many that have not come, oldest first."""
        self._expires = 0.0
        self._gone: str | None = None

    async def fetch(self, n: int, *, wait: float) -> list[Message]:
        """Up to `n` messages as soon as at least one is there; [] when none came within `wait` seconds.

        With `wait` 0 only what is there now. Raises ConsumerGoneError, NotConnectedError.
        """
        await self._ready()
        deadline = time.monotonic() + max(wait, 0.0)
        if not self._buffer and not (wait <= 0 and self._waiting_open()):
            await self._ask(n, wait)
        elif not self._buffer:
            # A waiting request is open: what was there has been sent already.
            await asyncio.sleep(0)
            return self.take(n)
        limit = deadline + (_GRACE if wait <= 0 else 0.0)
        while not self._buffer:
            if self._gone is not None:
                reason, self._gone = self._gone, None
                raise ConsumerGoneError(reason)
            if self._connection != self._bus.connections or not self._bus.connected:
                raise NotConnectedError(self._subject)
            if self._outstanding <= 0 and wait <= 0:
                return []
            remaining = limit - time.monotonic()
            if remaining <= 0:
                return []
            if self._outstanding <= 0:
                await self._ask(n, remaining)
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                # Woken at least once a second, to notice a lost connection.
                async with asyncio.timeout(min(remaining, 1.0)):
                    await self._arrived.wait()
        return [self._buffer.popleft() for _ in range(min(n, len(self._buffer)))]

    def take(self, n: int) -> list[Message]:
        """The messages that have arrived already; requests no more."""
        return [self._buffer.popleft() for _ in range(min(n, len(self._buffer)))]

    async def prefetch(self, n: int, *, wait: float) -> None:
        """Ask for messages that a later `fetch` will hand out: reading ahead while the caller works."""
        await self._ready()
        if len(self._buffer) < n:
            await self._ask(n - len(self._buffer), wait)

    async def leave(self) -> list[Message]:
        """Ask for nothing more; everything that was on its way here.

        The server goes on sending what was asked for until it hears of our leaving, and what it was about to send then
        is lost: it comes again elsewhere looking like a lost worker's. So what is coming is let come first.
        """
        await self._until_quiet()
        subscription, self._subscription = self._subscription, None
        if subscription is not None and self._bus.connected:
            with contextlib.suppress(Exception):  # without an answer there is nothing on its way either
                async with asyncio.timeout(_FAREWELL):
                    await subscription.drain()
        taken = list(self._buffer)
        self._buffer.clear()
        return taken

    async def _until_quiet(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                while self._outstanding > 0 and self._bus.connected:
                    self._arrived.clear()
                    async with asyncio.timeout(_QUIET):
                        await self._arrived.wait()

    async def close(self) -> None:
        """Stop listening; messages handed out and not acknowledged come again elsewhere."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(Exception):  # the connection may be gone already
                await subscription.unsubscribe()

    async def _ready(self) -> None:
        if self._subscription is None or self._connection != self._bus.connections:
            # After a reconnect nothing that was asked for comes any more, and what lies here has lost its lease.
            await self.close()
            self._buffer.clear()
            self._forget()
            self._gone = None
            self._inbox = self._bus.new_inbox()
            self._connection = self._bus.connections
            self._subscription = await self._bus.subscribe(f"{self._inbox}.*", self._on_message)

    def _waiting_open(self) -> bool:
        return self._outstanding > 0 and time.monotonic() < self._expires

    async def _ask(self, n: int, wait: float) -> None:
        now = time.monotonic()
        if self._outstanding > 0 and now > self._expires + _GRACE:
            self._forget()
        missing = n - self._outstanding
        if missing <= 0:
            return
        body: dict[str, Any] = {"batch": missing}
        if wait > 0:
            body["expires"] = int(wait * 1e9)
        else:
            body["no_wait"] = True
        self._expires = max(self._expires, now + max(wait, 0.0))
        self._outstanding += missing
        self._asked.append([now, missing])
        # The reply's last token is the batch: a status tells how many of it will not come.
        await self._bus.send(self._subject, orjson.dumps(body), reply=f"{self._inbox}.{missing}")

    async def _on_message(self, raw: Any) -> None:
        if raw.headers is not None and not raw.reply and "Status" in raw.headers:
            self._on_status(raw)
        else:
            # The server answers requests in their order. A message may have been on its way here ever since it was
            # asked for, while one of us stood still: so its lease is no younger than that.
            received = self._asked[0][0] if self._asked else time.monotonic()
            self._buffer.append(delivered(raw, received))
            self._settle(1)
        self._arrived.set()

    def _settle(self, count: int) -> None:
        """So many of those that were asked for have come, or never will."""
        self._outstanding -= count
        while count > 0 and self._asked:
            oldest = self._asked[0]
            taken = min(count, oldest[1])
            oldest[1], count = oldest[1] - taken, count - int(taken)
            if not oldest[1]:
                self._asked.popleft()

    def _forget(self) -> None:
        self._outstanding = 0
        self._asked.clear()

    def _on_status(self, raw: Any) -> None:
        status, description = raw.headers["Status"], raw.headers.get("Description", "")
        asked = int(raw.subject.rpartition(".")[2])
        missing = int(raw.headers.get("Nats-Pending-Messages", asked))
        if status in ("404", "408") or (status == "409" and "Exceeded" in description):
            self._settle(missing)
        elif status != "100":
            self._forget()
            self._gone = f"{status} {description}"
