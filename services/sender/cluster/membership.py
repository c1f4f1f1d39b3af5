"""Membership of the workers: each renews a key every few seconds, so that all can share what is limited.

A worker's word lapses by itself (TTL), so a killed one is gone after ten seconds; one that stops says so. While NATS is
away the last known number stands, on all sides: nobody takes what another one may still be using.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from libs.common.facts import uuid7
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError, NotConnectedError
from libs.common.jetstream.streams import PRESENCE, presence_subject
from services.sender.channel.share_rules import Share, share_of

log = logging.getLogger(__name__)

_WORKING, _LEFT = b"working", b"left"
_POLL = 0.02
_LAST_WORD = 0.5


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. Who joins waits `join` for the others to notice; `ttl` is in whole ones, as NATS has it.

    `remember` is how long somebody who is gone may still have something in hand: the lease (`InFlight.ack_wait`).
    """

    period: float = 3.0
    join: float = 4.5
    ttl: int = 10
    remember: float = 30.0


@dataclass(slots=True)
class Membership:
    """This worker among all. `changed` is called when its share has changed."""

    bus: Bus
    timing: Timing = field(default_factory=Timing)
    changed: Callable[[], None] = lambda: None
    worker_id: str = field(default_factory=lambda: uuid7().hex)
    """In the order of their start, so that those who are at work keep theirs when one joins."""
    name: str = ""
    """Unique among running workers. A worker that starts under a dead worker's id replaces it without waiting."""
    share: Share = field(default_factory=lambda: Share(joined=False))
    _seen: dict[str, float] = field(default_factory=dict)
    """When each of the others was there last (monotonic)."""
    _sharing: frozenset[str] = frozenset()
    """The others that were there at the last look."""
    _joined_at: float = float("inf")
    _announced_at: float = float("-inf")
    _company_at: float = 0.0
    _looked: tuple[int, float] = (-1, 0.0)
    """The connection over which was looked last, and since when it is known (monotonic)."""
    _looked_at: float = float("-inf")
    _kick: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        """Say and look, for ever."""
        self.bus.on_connect(self._kick.set)
        while True:
            self._kick.clear()
            try:
                await self._announce(_WORKING, self.timing.ttl)
                await self._look()
            except BusError as error:
                log.log(
                    logging.INFO if isinstance(error, NotConnectedError) else logging.WARNING,
                    "the other workers cannot be seen: %s",
                    error,
                )
            wait = self.timing.period
            if self._joined_at > time.monotonic():
                wait = min(wait, max(_POLL, self._joined_at - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._kick.wait()

    async def leave(self) -> None:
        """The others may take over at once; if that cannot be said, they do when our word has lapsed."""
        try:
            await self._announce(_LEFT, max(1, round(self.timing.remember)), timeout=_LAST_WORD)
        except BusError as error:
            log.info("the other workers are not told of the end: %s", error)

    @property
    def current(self) -> bool:
        """True if the registry was read recently over the current connection.

        Who joins gives us that long to notice: what is older may have been true before this process stood still.
        """
        lately = time.monotonic() - self._looked_at < self.timing.join
        return lately and self._looked[0] == self.bus.connections

    async def known(self) -> None:
        """Wait until it is known who is there."""
        while not self.current:  # noqa: ASYNC110 - lost connections tell nobody
            await asyncio.sleep(_POLL)

    def company(self) -> list[str]:
        """The others that may have something in hand: those who are there, or were until shortly."""
        return sorted(self._seen)

    async def alone(self) -> bool:
        """Look now: whether no other worker can have anything in hand. Who cannot see is not alone."""
        try:
            await self._look()
        except BusError:
            return False
        return not self._seen

    def company_until(self) -> float:
        """The last time (Unix seconds) at which another worker was there, or may have been."""
        return self._company_at if self.current and not self._seen else time.time()

    async def _look(self) -> None:
        began = time.monotonic()
        self._take_in(await self._present())
        self._looked_at = began

    async def _announce(self, word: bytes, ttl: int, *, timeout: float = 2.0) -> None:
        asked = time.monotonic()
        lapsed = asked - self._announced_at >= self.timing.ttl
        headers = {"Nats-TTL": f"{ttl}s"}
        word = b" ".join((word, self.name.encode())) if self.name else word
        await self.bus.publish(presence_subject(self.worker_id), word, headers=headers, timeout=timeout)
        if lapsed:
            self._joined_at = float("-inf")
        self._announced_at = asked

    async def _present(self) -> dict[str, bool]:
        """Everybody's last word that has not lapsed: whether they are at work."""
        found: dict[str, bool] = {}
        async for message in self.bus.direct_batch(PRESENCE, presence_subject("*")):
            worker_id = message.subject.rpartition(".")[2]
            word, _, name = message.data.partition(b" ")
            if worker_id == self.worker_id:
                continue
            if name and name == self.name.encode() and worker_id < self.worker_id:
                await self._take_over(worker_id, word)
                continue
            found[worker_id] = word == _WORKING
        return found

    async def _take_over(self, predecessor: str, word: bytes) -> None:
        """Say for one who died under our name that it has left: it cannot say so itself."""
        if word == _WORKING:
            log.info("worker %s is gone; this one took its place", predecessor)
            headers = {"Nats-TTL": f"{max(1, round(self.timing.remember))}s"}
            await self.bus.publish(presence_subject(predecessor), _LEFT, headers=headers)

    def _take_in(self, found: dict[str, bool]) -> None:
        now, connection = time.monotonic(), self.bus.connections
        since = self._looked[1] if self._looked[0] == connection else now
        self._looked = (connection, since)
        here = {each for each, working in found.items() if working}
        if self._joined_at == float("-inf"):
            # Nobody knew of us until now: whoever is there has to make room first.
            self._joined_at = now + self.timing.join if here else now
        self._seen |= dict.fromkeys(here, now)
        for each, seen in list(self._seen.items()):
            left = each in found and not found[each]
            if left or (each not in here and min(now - seen, now - since) > self.timing.remember):
                del self._seen[each]
        if now - since < self.timing.ttl:
            # After a reconnect the others' words may have lapsed only because they were cut off as we were.
            here |= {each for each in self._sharing & self._seen.keys() if found.get(each, True)}
        self._sharing = frozenset(here)
        if self._seen:
            self._company_at = time.time()
        share = share_of(self.worker_id, here, joined=now >= self._joined_at)
        if share != self.share:
            log.info("worker %d of %d%s", share.position + 1, share.workers, "" if share.joined else ", joining")
            self.share = share
            self.changed()
