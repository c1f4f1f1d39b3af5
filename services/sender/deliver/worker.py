"""The delivering side as a whole: a feeder for every provider there is or was, started, changed and drained."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from libs.common.facts.provider import ProviderState
from libs.common.jetstream.retrying import persistently
from libs.common.jetstream.views import View
from libs.common.relay.opening import Patience
from libs.common.tasks import end
from services.sender.channel.provider_channel import OpenRelay, ProviderChannel
from services.sender.cluster.membership import Membership
from services.sender.cluster.peers import AskingPeers
from services.sender.deliver.feeder import Feeder, Feeding
from services.sender.deliver.in_flight import LeasedMessage
from services.sender.deliver.outcome_log import JetStreamOutcomeLog
from services.sender.deliver.recent_outcomes import RecentOutcomes
from services.sender.providers_fold import Providers
from services.sender.routing_rules import stand_ins

log = logging.getLogger(__name__)

LANES = ("normal",)
"""`high` and `bulk` come with priorities: then a feeder asks them in turn, without waiting, before it waits on all."""
_HAND_BACK_SECONDS = 1.5


@dataclass(slots=True)
class Worker:
    """Everything that delivers in one process."""

    feeding: Feeding
    providers: Providers
    view: View
    recent: RecentOutcomes
    outcome_log: JetStreamOutcomeLog
    channels: dict[int, ProviderChannel]
    """By provider; deliveries look their way out up here."""
    open_relay: OpenRelay
    check_ring: Callable[[], Awaitable[None]]
    """Raises when the key ring is not the one that the providers' credentials were stored with."""
    membership: Membership
    peers: AskingPeers
    local_inbox_connections: int
    drain_seconds: float
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _feeders: list[asyncio.Task[None]] = field(default_factory=list)

    def provider_changed(self) -> None:
        """A fact of some provider was applied to the view."""
        self._changed.set()

    async def run(self) -> None:
        """Feed every provider for ever; a feeder that dies takes the worker with it, and drains it when cancelled."""
        membership: asyncio.Task[None] | None = None
        try:
            await self.view.caught_up.wait()
            await self.check_ring()
            await persistently(lambda: self.recent.load(self.feeding.bus))
            await self.peers.listen()
            membership = asyncio.create_task(self.membership.run(), name="presence")
            self._feeders.append(membership)
            await self.membership.known()
            while True:
                self._changed.clear()
                await self._reconcile()
                self.ready.set()
                await self._until_changed()
        finally:
            if membership is not None:
                # The others go on without our part only when we have drained.
                self._feeders.remove(membership)
            await self._drain()
            if membership is not None:
                await end([membership])
                await self.membership.leave()

    async def _until_changed(self) -> None:
        change = asyncio.create_task(self._changed.wait())
        try:
            done, _ = await asyncio.wait([change, *self._feeders], return_when=asyncio.FIRST_COMPLETED)
        finally:
            change.cancel()
        for task in done - {change}:
            task.result()

    async def _reconcile(self) -> None:
        known = {**self.providers.deleted, **self.providers.living}
        for identifier, state in known.items():
            living = self.providers.living.get(identifier)
            connections, patience = self._connections(state), self._patience(state)
            channel = self.channels.get(identifier)
            if channel is not None:
                await channel.configure(living, connections=connections, patience=patience)
                channel.take_share(self.membership.share)
                continue
            channel = self.channels[identifier] = ProviderChannel(
                living,
                connections=connections,
                send_gate=self.feeding.send_gate,
                open_relay=self.open_relay,
                patience=patience,
            )
            channel.take_share(self.membership.share)
            for lane in LANES:
                feeder = Feeder(self.feeding, identifier, lane, channel)
                self._feeders.append(asyncio.create_task(feeder.run(), name=f"feeder-{identifier}-{lane}"))

    def _connections(self, provider: ProviderState) -> int:
        return self.local_inbox_connections if provider.is_local_inbox else provider.max_connections

    def _patience(self, provider: ProviderState) -> Patience:
        """Short timeouts where another provider could send the message."""
        return "brisk" if stand_ins(provider.id, self.providers.living) else "patient"

    async def _drain(self) -> None:
        """Fetch no more; let what is on its way out end; hand back what nothing was sent of."""
        deadline = time.monotonic() + self.drain_seconds
        await end(self._feeders)
        held = list(self.feeding.in_flight.held.values())
        tasks = {each.task for each in held if each.task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))
        self.feeding.send_gate.draining = True
        left = [each for each in held if each.task is not None and not each.task.done()]
        await end([each.task for each in left if each.task is not None])
        await self._hand_back([each for each in left if each.untouched])
        for channel in self.channels.values():
            await channel.close()
        if left:
            log.warning("%d messages were not finished", len(left))

    async def _hand_back(self, untouched: list[LeasedMessage]) -> None:
        """Nothing was sent of these: each becomes due again as the same attempt, and is acknowledged.

        A nak would do it too, but the next delivery would look like a lost worker's, and count as an unknown.
        """
        try:
            async with asyncio.timeout(_HAND_BACK_SECONDS):
                await asyncio.gather(*(self._return(held) for held in untouched))
        except TimeoutError:
            log.warning("not all could be handed back: they come again when their lease has ended")

    async def _return(self, held: LeasedMessage) -> None:
        if not self.feeding.bus.connected:
            return
        await self.outcome_log.schedule(held.attempt)
        await held.acknowledge()
