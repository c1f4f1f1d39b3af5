"""The delivering side as a whole: a feeder for every provider there is or was, started, changed and drained."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from libs.common.facts.provider import ProviderState
from libs.common.jetstream.persistence import persistently
from libs.common.jetstream.views import View
from libs.common.relay.opening import Patience
from libs.common.tasks import end
from services.sender.channel.provider_channel import OpenRelay, ProviderOutlet
from services.sender.cluster.membership import Presence
from services.sender.cluster.peers import AskingColleagues
from services.sender.deliver.feeder import Feeder, Feeding
from services.sender.deliver.in_flight import Held
from services.sender.deliver.outcome_log import LogJournal
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
    journal: LogJournal
    outlets: dict[int, ProviderOutlet]
    """By provider; deliveries look their way out up here."""
    open_relay: OpenRelay
    check_ring: Callable[[], Awaitable[None]]
    """Raises when the key ring is not the one that the providers' credentials were stored with."""
    presence: Presence
    colleagues: AskingColleagues
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
        presence: asyncio.Task[None] | None = None
        try:
            await self.view.caught_up.wait()
            await self.check_ring()
            await persistently(lambda: self.recent.load(self.feeding.bus))
            await self.colleagues.listen()
            presence = asyncio.create_task(self.presence.run(), name="presence")
            self._feeders.append(presence)
            await self.presence.known()
            while True:
                self._changed.clear()
                await self._reconcile()
                self.ready.set()
                await self._until_changed()
        finally:
            if presence is not None:
                # The others go on without our part only when we have drained.
                self._feeders.remove(presence)
            await self._drain()
            if presence is not None:
                await end([presence])
                await self.presence.leave()

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
            outlet = self.outlets.get(identifier)
            if outlet is not None:
                await outlet.configure(living, connections=connections, patience=patience)
                outlet.take_share(self.presence.share)
                continue
            outlet = self.outlets[identifier] = ProviderOutlet(
                living,
                connections=connections,
                gate=self.feeding.gate,
                open_relay=self.open_relay,
                patience=patience,
            )
            outlet.take_share(self.presence.share)
            for lane in LANES:
                feeder = Feeder(self.feeding, identifier, lane, outlet)
                self._feeders.append(asyncio.create_task(feeder.run(), name=f"feeder-{identifier}-{lane}"))

    def _connections(self, provider: ProviderState) -> int:
        return self.local_inbox_connections if provider.is_local_inbox else provider.max_connections

    def _patience(self, provider: ProviderState) -> Patience:
        """Nobody waits five minutes for a greeting where somebody else could send the message."""
        return "brisk" if stand_ins(provider.id, self.providers.living) else "patient"

    async def _drain(self) -> None:
        """Fetch no more; let what is on its way out end; hand back what nothing was sent of."""
        deadline = time.monotonic() + self.drain_seconds
        await end(self._feeders)
        held = list(self.feeding.hands.held.values())
        tasks = {each.task for each in held if each.task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, deadline - time.monotonic()))
        self.feeding.gate.draining = True
        left = [each for each in held if each.task is not None and not each.task.done()]
        await end([each.task for each in left if each.task is not None])
        await self._hand_back([each for each in left if each.untouched])
        for outlet in self.outlets.values():
            await outlet.close()
        if left:
            log.warning("%d messages were not finished", len(left))

    async def _hand_back(self, untouched: list[Held]) -> None:
        """Nothing was sent of these: each becomes due again as the same attempt, and is acknowledged.

        A nak would do it too, but the next delivery would look like a lost worker's, and count as an unknown.
        """
        try:
            async with asyncio.timeout(_HAND_BACK_SECONDS):
                await asyncio.gather(*(self._return(held) for held in untouched))
        except TimeoutError:
            log.warning("not all could be handed back: they come again when their lease has ended")

    async def _return(self, held: Held) -> None:
        if not self.feeding.bus.connected:
            return
        await self.journal.schedule(held.attempt)
        await held.acknowledge()
