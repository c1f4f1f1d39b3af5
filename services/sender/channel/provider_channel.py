"""Holds one provider's relay and its connections. `domain/channel.py` decides which message may use them, and when."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from prometheus_client import Gauge

from libs.common.facts.provider import ProviderState
from libs.common.relay.opening import Patience
from libs.common.relay.port import BeforeDot, Relay, SendResult, Submission, Trouble, troubled
from services.sender.channel.circuit_rules import Breaker
from services.sender.channel.rules import Channel, Request, Turn
from services.sender.channel.send_gate import SendGate
from services.sender.channel.share_rules import Share
from services.sender.ports import NoSlotsError
from services.sender.routing_rules import Closed, named

log = logging.getLogger(__name__)

OpenRelay = Callable[[ProviderState, int, Patience], Awaitable[Relay | Trouble]]
"""A relay for a provider, that many connections and that patience, or why there can be none."""

CIRCUIT = Gauge("temps_provider_circuit_open", "1 while only a try now and then is sent to the provider", ["provider"])


class ProviderChannel:
    """`services.sender.ports.DeliveryChannel`. Follows the provider's settings through `configure`."""

    def __init__(
        self,
        provider: ProviderState | None,
        *,
        connections: int,
        send_gate: SendGate,
        open_relay: OpenRelay,
        patience: Patience = "patient",
    ) -> None:
        """Nothing is connected before the first message; `connections` are those of all workers together."""
        self.state = Channel(provider, connections)
        self._patience = patience
        self._send_gate, self._open_relay = send_gate, open_relay
        self._relay: Relay | None = None
        self._opening = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()
        self._waiting: dict[Request, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------------------------------------------------- settings

    async def configure(
        self, provider: ProviderState | None, *, connections: int, patience: Patience = "patient"
    ) -> None:
        """Take over changed settings; None when the provider was deleted."""
        asked, self._patience = self._patience, patience
        before = self.state.breaker
        if self.state.configure(provider, connections, afresh=asked != patience):
            self._retire()
        self._tell(before)
        self._assign()

    def take_share(self, share: Share) -> None:
        """Use no more than this share from now on."""
        if self.state.take_share(share):
            self._retire()
        self._assign()

    @property
    def connections(self) -> int:
        """How many of them are this worker's."""
        return self.state.own_connections

    @property
    def connections_of_all(self) -> int:
        """How many the provider allows."""
        return self.state.connections

    @property
    def ready(self) -> bool:
        """True if messages may be sent now. True for a deleted provider, too: its mail has to move on."""
        return self.closed() is None

    def closed(self) -> Closed | None:
        """Why nothing is sent through it now; None when something is, be it only to try it out."""
        return self.state.closed(time.monotonic())

    @property
    def available(self) -> bool:
        """True if this provider accepts other providers' mail now."""
        return self.state.available(time.monotonic())

    def invite(self) -> None:
        """Another provider's mail is coming here: while this one has to be tried out, one at a time."""
        self.state.invite(time.monotonic())

    # --------------------------------------------------------------------------------------------------------- sending

    async def send(
        self, submission: Submission, before_dot: BeforeDot, elsewhere: Callable[[], bool]
    ) -> SendResult | None:
        """Wait for a turn and hand the message over; None when it should go elsewhere, or has to."""
        request = self.state.ask(elsewhere)
        result: SendResult | None = None
        began = ended = 0.0
        try:
            await self._turn(request)
            if request.turn is Turn.TURNED_AWAY:
                raise NoSlotsError
            if request.turn is Turn.SEND and self.state.provider is not None:
                began = time.monotonic()
                result = await self._sent(submission, before_dot)
                ended = time.monotonic()
        finally:
            if result is None:
                self.state.withdraw(request)
            else:
                before = self.state.breaker
                self.state.ended(request, result.trouble, ended - began, ended)
                self._tell(before)
            self._assign()
        return result

    async def _turn(self, request: Request) -> None:
        self._assign()
        if request.turn is None:
            future = self._waiting[request] = asyncio.get_running_loop().create_future()
            try:
                await future
            finally:
                del self._waiting[request]

    def _assign(self) -> None:
        """Give out the turns that are due, and come back for those that will be."""
        now, may_write = time.monotonic(), self._send_gate.is_open
        for request in self.state.assign(now, may_write=may_write):
            future = self._waiting.get(request)
            if future is not None and not future.done():
                future.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self.state.wake_at(now, may_write=may_write)
        if at is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, at - now), self._assign)

    def _tell(self, before: Breaker) -> None:
        """Tell people of a circuit that opened or closed."""
        provider, breaker = self.state.provider, self.state.breaker
        if provider is None or breaker is before or not (breaker.is_open or before.is_open):
            return
        CIRCUIT.labels(str(provider.id)).set(breaker.is_open)
        if not breaker.is_open:
            log.info("%s: the circuit is closed again, mail flows", named(provider))
        elif not before.is_open or breaker.used_up != before.used_up:
            log.warning("%s: %s; next try in %.0f s", named(provider), breaker.reason, breaker.pause)

    # -------------------------------------------------------------------------------------------------- connections

    async def close(self) -> None:
        """Say goodbye; messages at work finish first."""
        if self._timer is not None:
            self._timer.cancel()
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
                provider, patience = self.state.provider, self._patience
                if provider is None:
                    return Trouble("connection", "The provider was deleted at that moment.")
                opened = await self._open_relay(provider, self.connections_of_all, patience)
                changed = provider is not self.state.provider or patience != self._patience
                if changed and not isinstance(opened, Trouble):
                    # Changed while its secret was being read: what was opened may be out of date.
                    await opened.close()
                    continue
                if isinstance(opened, Trouble):
                    return opened
                self._relay = opened
            return self._relay
