"""One provider's way out: its relay, never more at once than it allows, and patience while it is in trouble."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from prometheus_client import Gauge

from libs.common.events.provider import ProviderState
from libs.common.relay.opening import Patience
from libs.common.relay.port import BeforeDot, Relay, SendResult, Submission, Trouble, troubled
from services.sender.adapters.gate import Gate
from services.sender.adapters.pace import Pace
from services.sender.adapters.slots import Slots
from services.sender.domain.breaker import Breaker
from services.sender.domain.routing import Closed, named, why_unusable
from services.sender.domain.shares import ALONE, Share
from services.sender.domain.wiring import wiring

log = logging.getLogger(__name__)

OpenRelay = Callable[[ProviderState, int, Patience], Awaitable[Relay | Trouble]]
"""A relay for a provider, that many connections and that patience, or why there can be none."""

_LOOK = 1.0
_PROMISE = 5.0
"""Seconds for which an invitation to try a provider out stands; meanwhile nobody else gets one."""

CIRCUIT = Gauge("temps_provider_circuit_open", "1 while only a try now and then is sent to the provider", ["provider"])


class ProviderOutlet:
    """`services.sender.ports.Outlet`. Follows the provider's settings through `configure`."""

    def __init__(
        self,
        provider: ProviderState | None,
        *,
        connections: int,
        gate: Gate,
        open_relay: OpenRelay,
        patience: Patience = "patient",
    ) -> None:
        """Nothing is connected before the first message; `connections` are those of all workers together."""
        self.connections_of_all = connections
        self._share = ALONE
        self._provider, self._patience = provider, patience
        self._gate, self._open_relay = gate, open_relay
        self._slots = Slots(connections)
        self._relay: Relay | None = None
        self._opening = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self._breaker = Breaker()
        self._pace = Pace(provider.rate_limit_per_second if provider is not None else None)
        self._probing = False
        self._promised = 0.0
        self._halted: str | None = None
        self._changed = asyncio.Event()

    async def configure(
        self, provider: ProviderState | None, *, connections: int, patience: Patience = "patient"
    ) -> None:
        """Take over changed settings; None when the provider was deleted."""
        before, self._provider = self._provider, provider
        asked, self._patience = self._patience, patience
        if (
            provider is not None
            and before is not None
            and (wiring(before), self.connections_of_all, asked) == (wiring(provider), connections, patience)
        ):
            # A stop and its end may have been read together: then only the time of the change tells of them.
            halted = self._halted is not None and before.updated_at != provider.updated_at
            if provider.stopped is None and (halted or before.stopped is not None):
                self._fresh_start()
            self._divide()
            return
        self.connections_of_all = connections
        self._fresh_start()
        self._divide()
        self._retire()

    @property
    def connections(self) -> int:
        """How many of them are this worker's."""
        return self._share.connections(self.connections_of_all)

    def take_share(self, share: Share) -> None:
        """Use no more than this share from now on. What is on its way still ends, and nobody follows it."""
        fewer = share.connections(self.connections_of_all) < self.connections
        self._share = share
        self._divide()
        if fewer:
            # Idle connections count for the provider, too.
            self._retire()

    def _divide(self) -> None:
        whole = self._provider.rate_limit_per_second if self._provider is not None else None
        self._pace.limit(self._share.rate(whole, self.connections_of_all))
        self._slots.resize(self.connections, turn_away=self._share.goes_without(self.connections_of_all))
        self._wake()

    @property
    def ready(self) -> bool:
        """Whether messages may be sent through it now; what waits for a deleted one is to be handed to another."""
        return self.closed() is None

    def closed(self) -> Closed | None:
        """Why nothing is sent through it now; None when something is, be it only to try it out."""
        provider = self._provider
        if provider is None:
            return None
        if self._halted is not None:
            return Closed("stopped", f"stopped: {self._halted}")
        why = why_unusable(provider)
        if why is None and self._breaker.is_open and not self._may_probe():
            return Closed("quota" if self._breaker.used_up else "circuit", self._breaker.reason)
        return why

    @property
    def available(self) -> bool:
        """Whether another provider's mail may come here."""
        if self._provider is None or self.closed() is not None:
            return False
        return not self._breaker.is_open or time.monotonic() >= self._promised

    def invite(self) -> bool:
        """Ask for one message of another provider's mail: while it has to be tried out, one at a time."""
        if not self.available:
            return False
        if self._breaker.is_open:
            self._promised = time.monotonic() + _PROMISE
        return True

    def _may_probe(self) -> bool:
        return not self._probing and time.monotonic() >= self._breaker.until

    async def send(
        self, submission: Submission, before_dot: BeforeDot, elsewhere: Callable[[], bool]
    ) -> SendResult | None:
        """Wait for a turn and hand the message over; None when it should go elsewhere, or has to."""
        if not await self._take_slot(elsewhere):
            return None
        try:
            if self._provider is None:
                return None
            probing, wired = self._breaker.is_open, wiring(self._provider)
            self._probing = self._probing or probing
            try:
                began = time.monotonic()
                result = await self._sent(submission, before_dot)
            finally:
                if probing:
                    self._probing = False
            if self._still(wired):
                self._learn(result, time.monotonic() - began)
        finally:
            self._slots.release()
        return result

    async def _take_slot(self, elsewhere: Callable[[], bool]) -> bool:
        """Wait for a slot and a turn; False when it should go elsewhere instead.

        Whatever changed while they were waited for counts, also how many slots there are.
        """
        while True:
            await self._slots.acquire()
            taken = False
            try:
                if not self._may_send and self._slots.within and not await self._turn(elsewhere):
                    return False
                if self._provider is not None and self._slots.within:
                    await self._pace.wait()
                taken = self._may_send
            finally:
                if not taken:
                    self._slots.release()
            if taken:
                return True

    @property
    def _may_send(self) -> bool:
        return self.ready and self._gate.is_open and self._slots.within

    async def close(self) -> None:
        """Say goodbye; messages at work finish first."""
        self._retire()
        if self._retiring:
            await asyncio.wait(self._retiring)

    def _retire(self) -> None:
        """Send by another relay from now on, once the idle connections of this one are gone."""
        relay, self._relay = self._relay, None
        if relay is not None:
            task = asyncio.create_task(relay.close())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    async def _sent(self, submission: Submission, before_dot: BeforeDot) -> SendResult:
        relay = self._relay or await self._opened()
        if isinstance(relay, Trouble):
            return troubled(relay)
        return await relay.send(submission, before_dot=before_dot)

    async def _opened(self) -> Relay | Trouble:
        async with self._opening:
            while self._relay is None:
                if self._retiring:
                    await asyncio.wait(self._retiring)
                provider, patience = self._provider, self._patience
                if provider is None:
                    return Trouble("connection", "The provider was deleted at that moment.")
                opened = await self._open_relay(provider, self.connections_of_all, patience)
                if (provider is not self._provider or patience != self._patience) and not isinstance(opened, Trouble):
                    # Changed while its secret was being read: what was opened may be out of date.
                    await opened.close()
                    continue
                if isinstance(opened, Trouble):
                    return opened
                self._relay = opened
            return self._relay

    def _still(self, wired: tuple[object, ...]) -> bool:
        return self._provider is not None and wired == wiring(self._provider)

    def _learn(self, result: SendResult, seconds: float) -> None:
        trouble, now = result.trouble, time.monotonic()
        if trouble is None:
            self._settle(self._breaker.succeeded())
            self._pace.speed_up()
        elif trouble.kind == "configuration":
            # `provider.stopped` is on its way; until it is here no other email is to run into the same wall.
            self._halted = trouble.text
        elif trouble.kind == "quota":
            self._settle(self._breaker.exhausted(now, trouble.text))
        elif trouble.kind == "throttled":
            self._pace.slow_down()
            self._settle(self._breaker.succeeded())
        else:
            # An answer that came late is none that never came.
            silent = seconds if trouble.smtp_code is None else 0.0
            self._settle(self._breaker.failed(now, trouble.text, seconds=silent))
        if trouble is None or not self.ready:
            self._wake()

    def _settle(self, breaker: Breaker) -> None:
        """Take over the circuit's new state, and tell of its opening and closing."""
        before, self._breaker = self._breaker, breaker
        if self._provider is None or breaker is before or not (breaker.is_open or before.is_open):
            return
        CIRCUIT.labels(str(self._provider.id)).set(breaker.is_open)
        who = named(self._provider)
        if not breaker.is_open:
            log.info("%s: the circuit is closed again, mail flows", who)
        elif not before.is_open or breaker.used_up != before.used_up:
            log.warning("%s: %s; next try in %.0f s", who, breaker.reason, breaker.pause)

    async def _turn(self, elsewhere: Callable[[], bool]) -> bool:
        """Wait until something may be sent; False when it should go elsewhere instead."""
        while not (self.ready and self._gate.is_open) and self._slots.within:
            if self._gate.is_open and elsewhere():
                return False
            self._changed.clear()
            try:
                async with asyncio.timeout(_LOOK):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return True

    def _fresh_start(self) -> None:
        self._settle(Breaker())
        self._halted, self._promised = None, 0.0

    def _wake(self) -> None:
        self._changed.set()
