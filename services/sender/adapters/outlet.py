"""One provider's way out: its relay, never more at once than it allows, and patience while it is in trouble."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from libs.common.events.provider import ProviderState
from libs.common.relay.connection import connection_of, same_connection
from libs.common.relay.opening import Patience
from libs.common.relay.port import BeforeDot, Relay, SendResult, Submission, Trouble, troubled
from services.sender.adapters.circuit import Circuit
from services.sender.adapters.gate import Gate
from services.sender.adapters.pace import Pace
from services.sender.adapters.slots import Slots
from services.sender.domain.routing import Closed
from services.sender.domain.shares import ALONE, Share

OpenRelay = Callable[[ProviderState, int, Patience], Awaitable[Relay | Trouble]]
"""A relay for a provider, that many connections and that patience, or why there can be none."""

_LOOK = 1.0


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
        self.circuit = Circuit()
        self._pace = Pace(provider.rate_limit_per_second if provider is not None else None)
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
            and same_connection(before, provider)
            and (self.connections_of_all, asked) == (connections, patience)
        ):
            # A stop and its end may have been read together: then only the time of the change tells of them.
            halted = self.circuit.halted is not None and before.updated_at != provider.updated_at
            if provider.stopped is None and (halted or before.stopped is not None):
                self.circuit.reset(provider)
            self._divide()
            return
        self.connections_of_all = connections
        self.circuit.reset(provider)
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
        return self.circuit.closed(self._provider) if self._provider is not None else None

    @property
    def available(self) -> bool:
        """Whether another provider's mail may come here."""
        return self._provider is not None and self.circuit.available(self._provider)

    def invite(self) -> None:
        """Another provider's mail is coming here: while this one has to be tried out, one at a time."""
        self.circuit.invite()

    async def send(
        self, submission: Submission, before_dot: BeforeDot, elsewhere: Callable[[], bool]
    ) -> SendResult | None:
        """Wait for a turn and hand the message over; None when it should go elsewhere, or has to."""
        if not await self._take_slot(elsewhere):
            return None
        try:
            if self._provider is None:
                return None
            circuit, wired = self.circuit, connection_of(self._provider)
            probing = circuit.breaker.is_open
            circuit.probing = circuit.probing or probing
            try:
                began = time.monotonic()
                result = await self._sent(submission, before_dot)
            finally:
                if probing:
                    circuit.probing = False
            self._learn(wired, result, time.monotonic() - began)
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

    def _learn(self, wired: tuple[object, ...], result: SendResult, seconds: float) -> None:
        """Take it to heart, unless the provider was changed or deleted meanwhile."""
        provider, trouble = self._provider, result.trouble
        if provider is None or wired != connection_of(provider):
            return
        self.circuit.learn(provider, trouble, seconds)
        if trouble is None:
            self._pace.speed_up()
        elif trouble.kind == "throttled":
            self._pace.slow_down()
        if trouble is None or not self.ready:
            self._wake()

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

    def _wake(self) -> None:
        self._changed.set()
