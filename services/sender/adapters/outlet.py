"""One provider's way out: its relay, never more at once than it allows, and patience while it is in trouble."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from libs.common.events.provider import ProviderState
from libs.common.relay.port import BeforeDot, Relay, SendResult, Submission, Trouble, troubled
from services.sender.adapters.gate import Gate
from services.sender.domain.breaker import Breaker

OpenRelay = Callable[[ProviderState, int], Awaitable[Relay | Trouble]]
"""A relay for a provider and that many connections, or why there can be none."""

_LOOK = 1.0


class ProviderOutlet:
    """`services.sender.ports.Outlet`. Follows the provider's settings through `configure`."""

    def __init__(self, provider: ProviderState | None, *, connections: int, gate: Gate, open_relay: OpenRelay) -> None:
        """Nothing is connected before the first message."""
        self.connections = connections
        self._provider = provider
        self._gate, self._open_relay = gate, open_relay
        self._slots = asyncio.Semaphore(connections)
        self._relay: Relay | None = None
        self._opening = asyncio.Lock()
        self._breaker = Breaker()
        self._probing = False
        self._halted = False
        self._next_turn = 0.0
        self._changed = asyncio.Event()

    async def configure(self, provider: ProviderState | None, *, connections: int) -> None:
        """Take over changed settings; None when the provider was deleted."""
        before, self._provider = self._provider, provider
        if (
            provider is not None
            and before is not None
            and (_wiring(before), self.connections) == (_wiring(provider), connections)
        ):
            if before.stopped is not None and provider.stopped is None:
                self._fresh_start()
            self._wake()
            return
        self.connections = connections
        self._slots = asyncio.Semaphore(connections)
        self._fresh_start()
        self._wake()
        await self.close()

    @property
    def ready(self) -> bool:
        """Whether messages may be fetched for it now."""
        provider = self._provider
        if provider is None:
            return True  # what waits for a deleted provider is taken to be handed to another
        return (
            provider.is_active
            and provider.stopped is None
            and not self._halted
            and (not self._breaker.is_open or self._may_probe())
        )

    def _may_probe(self) -> bool:
        return not self._probing and time.monotonic() >= self._breaker.until

    async def send(self, submission: Submission, before_dot: BeforeDot) -> SendResult | None:
        """Wait for a turn and hand the message over; None when the provider was deleted meanwhile."""
        async with self._slots:
            if not (self.ready and self._gate.is_open):
                await self._turn()
            if self._provider is None:
                return None
            probing, wiring = self._breaker.is_open, _wiring(self._provider)
            self._probing = self._probing or probing
            try:
                if self._provider.rate_limit_per_second:
                    await self._pace(self._provider.rate_limit_per_second)
                result = await self._sent(submission, before_dot)
            finally:
                if probing:
                    self._probing = False
            if self._still(wiring):
                self._learn(result)
        return result

    async def close(self) -> None:
        """Say goodbye; messages at work finish first."""
        relay, self._relay = self._relay, None
        if relay is not None:
            await relay.close()

    async def _sent(self, submission: Submission, before_dot: BeforeDot) -> SendResult:
        relay = self._relay or await self._opened()
        if isinstance(relay, Trouble):
            return troubled(relay)
        return await relay.send(submission, before_dot=before_dot)

    async def _opened(self) -> Relay | Trouble:
        async with self._opening:
            while self._relay is None:
                provider = self._provider
                if provider is None:
                    return Trouble("connection", "The provider was deleted at that moment.")
                opened = await self._open_relay(provider, self.connections)
                if provider is not self._provider and not isinstance(opened, Trouble):
                    # Changed while its secret was being read: what was opened may be out of date.
                    await opened.close()
                    continue
                if isinstance(opened, Trouble):
                    return opened
                self._relay = opened
            return self._relay

    def _still(self, wiring: tuple[object, ...]) -> bool:
        return self._provider is not None and wiring == _wiring(self._provider)

    def _learn(self, result: SendResult) -> None:
        trouble = result.trouble
        if trouble is None:
            self._breaker = self._breaker.succeeded()
        elif trouble.kind == "configuration":
            # `provider.stopped` is on its way; until it is here no other email is to run into the same wall.
            self._halted = True
        else:
            self._breaker = self._breaker.failed(time.monotonic())
        if trouble is None or self._breaker.is_open:
            self._wake()

    async def _turn(self) -> None:
        while not (self.ready and self._gate.is_open):
            self._changed.clear()
            try:
                async with asyncio.timeout(_LOOK):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _pace(self, per_second: float) -> None:
        now = time.monotonic()
        turn = self._next_turn = max(now, self._next_turn + 1 / per_second)
        if turn > now:
            await asyncio.sleep(turn - now)

    def _fresh_start(self) -> None:
        self._breaker, self._halted = Breaker(), False

    def _wake(self) -> None:
        self._changed.set()


def _wiring(provider: ProviderState) -> tuple[object, ...]:
    """What a connection depends on."""
    return provider.smtp, provider.credential_version
