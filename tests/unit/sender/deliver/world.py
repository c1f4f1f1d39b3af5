"""A whole world for one email, in memory and without a clock of its own: log, queue, workers, providers, their relays.

The workers run the real handler. Each `await` of theirs that would leave the process is a place where they can be
stopped for as long as a test likes, lose their lease, or die.
"""

import types
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from libs.common.facts import Envelope, timestamp
from libs.common.facts.email import EmailFact
from libs.common.facts.provider import ProviderState
from libs.common.jetstream.content import Content
from libs.common.relay.port import BeforeDot, RecipientReply, SendResult, Submission, Trouble, answered, unknown
from services.sender.deliver.attempt_rules import Attempt, first_attempt
from services.sender.deliver.deliver_email import deliver_email
from services.sender.deliver.outcome_rules import ENDS, ended_at
from services.sender.deliver.owed_fold import Owed, fold
from services.sender.deliver.redelivery_rules import Handed
from services.sender.deliver.work import DeliverDeps, Finished, Work
from services.sender.routing_rules import Closed, why_unusable
from tests.unit.sender.deliver.cases import ADA, BOB, EMAIL, HOME, NOW, SECOND, THIRD, accepted

LAST_ATTEMPT = 8
VERDICTS = ("accepted", "deferred", "bounced", "failed")
ANSWERS = (*VERDICTS, "accepted and deferred", "silence", "connection", "configuration", "quota", "throttled")


@types.coroutine
def elsewhere() -> Generator[None, None, None]:
    """The world goes on; what called this may never be continued."""
    yield


@dataclass
class Message:
    """One in the queue. It stays until it is acknowledged, and is handed out again when nobody holds it."""

    attempt: Attempt
    stored_at: float
    accepted: Envelope | None = None
    delivered: int = 0


@dataclass
class Relay:
    """A provider and the relay behind it. `answer` is what it will say."""

    world: "World"
    state: ProviderState
    answer: str = "accepted"
    circuit_open: bool = False

    @property
    def available(self) -> bool:
        return self.state.id in self.world.providers and self.closed() is None

    def closed(self) -> Closed | None:
        if self.circuit_open:
            return Closed("circuit", "circuit open")
        return why_unusable(self.state)

    def invite(self) -> None:
        return

    async def send(
        self, submission: Submission, before_dot: BeforeDot, elsewhere_is_open: Callable[[], bool]
    ) -> SendResult | None:
        while self.closed() is not None:
            if self.state.id not in self.world.providers or elsewhere_is_open():
                return None
            await elsewhere()
        await elsewhere()
        answer = self.answer
        if answer in ("connection", "configuration", "quota", "throttled"):
            return SendResult(trouble=Trouble(answer, answer))  # type: ignore[arg-type] # one of the four
        if not await before_dot():
            return SendResult(abandoned=True)
        await elsewhere()
        verdicts = self._verdicts(answer, submission.recipients)
        for address, verdict in verdicts.items():
            if verdict == "accepted":
                self.world.copies.append((address, self.state.id))
        await elsewhere()
        if answer == "silence":
            return unknown("silence")
        replies = tuple(RecipientReply(address, verdict, 250, None, "said") for address, verdict in verdicts.items())
        return answered(replies, "id")

    @staticmethod
    def _verdicts(answer: str, recipients: tuple[str, ...]) -> dict[str, Any]:
        if answer == "silence":
            return dict.fromkeys(recipients, "accepted")
        if answer == "accepted and deferred":
            return {each: "deferred" if number else "accepted" for number, each in enumerate(recipients)}
        return dict.fromkeys(recipients, answer)


@dataclass(eq=False)
class Worker:
    """One message in one worker's hands: `services.sender.ports.Lease`, and the handler at work on it."""

    world: "World"
    number: int
    message: Message
    delivery: int
    lapsed: bool = False
    dotted: bool = False
    asking: bool = False
    way: Coroutine[Any, Any, Finished] | None = None

    async def confirm(self) -> bool:
        await elsewhere()
        if not self._extended():
            return False
        self.dotted = True
        return True

    async def regain(self) -> bool:
        self.dotted = False
        await elsewhere()
        return self._extended()

    def decided(self) -> None:
        return

    def _extended(self) -> bool:
        # A lost lease comes back only if no other worker can have had it: `LeasedMessage.extend`, `Membership.alone`.
        if self.lapsed and self.message.delivered != self.delivery:
            return False
        self.lapsed = False
        return True


@dataclass
class World:
    """One email on its way. `copies` is what relays really took: address and provider."""

    now: datetime = NOW
    log: list[Envelope] = field(default_factory=list)
    queue: list[Message] = field(default_factory=list)
    scheduled: Attempt | None = None
    published: set[str] = field(default_factory=set)
    copies: list[tuple[str, int]] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    untouched: set[Any] = field(default_factory=set)
    strays: list[Attempt] = field(default_factory=list)
    """Attempts that left a provider, which exists, with an unknown outcome there: they may be sent twice."""
    forgotten: dict[int, ProviderState] = field(default_factory=dict)
    started: int = 0
    leases_lost: int = 0

    def __post_init__(self) -> None:
        self.relays = {each.id: Relay(self, each) for each in (HOME, SECOND, THIRD)}
        self.deleted: dict[int, ProviderState] = {}
        self.providers: dict[int, ProviderState] = {each.state.id: each.state for each in self.relays.values()}
        fact = accepted()
        self.log.append(fact)
        self.queue.append(Message(first_attempt(fact, provider_id=1, lane="normal"), self.time, fact))

    @property
    def time(self) -> float:
        return self.now.timestamp()

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        if self.scheduled is not None and self.scheduled.due_at <= self.now:
            due, self.scheduled = self.scheduled, None
            self.queue.append(Message(due, self.time))
        if seconds > 120:
            self.published.clear()  # the stream's window for duplicates

    # ------------------------------------------------------------------------------------------------------- workers

    def free(self) -> list[Message]:
        """What the queue may hand out: nobody holds it, or the lease has run out."""
        held = [each.message for each in self.workers if not each.lapsed]
        return [each for each in self.queue if each not in held]

    def hand_out(self, message: Message) -> None:
        if any(each.message.attempt.key == message.attempt.key and not each.lapsed for each in self.workers):
            return  # a copy of what is in hand here: `InFlight.take`
        message.delivered += 1
        self.started += 1
        worker = Worker(self, self.started, message, message.delivered)
        attempt = message.attempt
        handed = Handed(
            attempt=attempt.number,
            due_at=attempt.due_at.timestamp(),
            stored_at=message.stored_at,
            num_delivered=message.delivered,
            connected_at=0.0,
            index=self.started,
            window=40,
            counted_since=0.0,
        )
        untouched = attempt.key in self.untouched
        self.untouched.discard(attempt.key)
        worker.way = deliver_email(self._deps(worker), Work(attempt, handed, worker, message.accepted, untouched))
        self.workers.append(worker)

    def step(self, worker: Worker) -> None:
        """Let it go on until it waits for the world again."""
        way = worker.way
        assert way is not None
        self.pass_time(0.001)
        try:
            way.send(None)
        except StopIteration as ended:
            self.workers.remove(worker)
            finished: Finished = ended.value
            if not finished.acknowledge:
                self.untouched.add(worker.message.attempt.key)
            elif worker.message in self.queue:
                self.queue.remove(worker.message)

    def kill(self, worker: Worker) -> None:
        assert worker.way is not None
        worker.way.close()
        self.workers.remove(worker)

    def others(self, worker: Worker) -> list[Worker]:
        key = worker.message.attempt.key
        return [each for each in self.workers if each is not worker and each.message.attempt.key == key]

    def _deps(self, worker: Worker) -> DeliverDeps:
        def retry_at(*, attempt: int, now: datetime, **_: Any) -> datetime | None:
            return now + timedelta(seconds=1) if attempt < LAST_ATTEMPT else None

        return DeliverDeps(
            outcome_log=_OutcomeLog(self),
            email_store=_EmailStore(self),
            providers=self.providers,
            deleted=self.deleted,
            channels=self.relays,
            peers=_Peers(self, worker),
            retry_at=retry_at,
            now=lambda: self.now,
        )

    # ----------------------------------------------------------------------------------------------------- providers

    def change(self, identifier: int, **members: Any) -> None:
        if identifier in self.providers:
            state = self.providers[identifier].model_copy(update={**members, "updated_at": self.now})
            self.providers[identifier] = self.relays[identifier].state = state

    def forget(self, identifier: int) -> None:
        """The worker's view is being read anew: for a moment it knows nothing of that provider."""
        if identifier in self.providers:
            self.forgotten[identifier] = self.providers.pop(identifier)

    def remember(self) -> None:
        self.providers.update(self.forgotten)
        self.forgotten.clear()

    def delete(self, identifier: int) -> None:
        if identifier in self.providers:
            self.deleted[identifier] = self.providers.pop(identifier)

    # ------------------------------------------------------------------------------------------------------ promises

    def owed(self) -> Owed:
        owed: Owed = {}
        fold(owed, self.log)
        return owed

    def unknowns(self, address: str) -> int:
        return sum(
            any(each["address"] == address for each in fact.data["recipients"])
            for fact in self.log
            if fact.name == "email.unknown"
        )

    def too_many_copies(self) -> list[str]:
        taken = [address for address, _ in self.copies]
        return [each for each in (ADA, BOB) if taken.count(each) > 1 + self.unknowns(each)]

    def audited(self) -> bool:
        """What is owed by the log and neither queued nor scheduled is queued: `services.sender.deliver.audit`."""
        missing = list(self.owed().values())
        # It is there for damage, and for a worker that stood still amid writing an outcome; nothing else may need it.
        assert self.leases_lost or not missing, f"owed and nowhere: {missing}, {[each.name for each in self.log]}"
        self.queue.extend(Message(each, self.time) for each in missing)
        return bool(missing)

    def settle(self) -> None:
        """Everything is mended, and everybody works until nothing is left. Fails when that takes for ever."""
        self.remember()
        for identifier, relay in self.relays.items():
            relay.answer, relay.circuit_open = "accepted", False
            self.change(identifier, stopped=None, is_active=True)
        for _ in range(200):
            if not (self.queue or self.workers or self.scheduled) and not self.audited():
                return
            for message in self.free():
                self.hand_out(message)
            for worker in list(self.workers):
                if worker in self.workers:
                    self.step(worker)
            self.pass_time(1)
        raise AssertionError(f"it never ends: {self.queue}, {self.scheduled}, {[each.name for each in self.log]}")


@dataclass(frozen=True)
class _OutcomeLog:
    world: World

    async def find(self, attempt: Attempt, *, redelivered: bool) -> Envelope | None:
        del redelivered
        await elsewhere()
        return self.world_found(attempt)

    def world_found(self, attempt: Attempt) -> Envelope | None:
        for fact in self.world.log:
            event = fact.name.partition(".")[2]
            same = fact.data.get("attempt") == attempt.number
            if event in ENDS and same and ended_at(event, fact.data) == attempt.provider_id:
                return fact
        return None

    async def record(self, fact: EmailFact, *, correlation_id: str | None, causation_id: str | None) -> Envelope:
        await elsewhere()
        world = self.world
        stored = Envelope(
            f"fact-{len(world.log)}",
            "s",
            fact.TYPE,
            f"email/{EMAIL}",
            timestamp(world.now),
            fact.model_dump(mode="json"),
            correlationid=correlation_id,
            causationid=causation_id,
            sequence=20 + len(world.log),
        )
        world.log.append(stored)
        await elsewhere()
        return stored

    async def move(self, attempt: Attempt, rerouted: Envelope) -> None:
        if attempt.pinned and attempt.tried[-1] not in self.world.deleted:
            self.world.strays.append(attempt)
        await elsewhere()
        if rerouted.id not in self.world.published:
            self.world.published.add(rerouted.id)
            self.world.queue.append(Message(attempt, self.world.time))
        await elsewhere()

    async def schedule(self, attempt: Attempt) -> None:
        await elsewhere()
        self.world.scheduled = attempt
        await elsewhere()

    async def stop_provider(self, provider: ProviderState, reason: str) -> None:
        await elsewhere()
        del reason
        self.world.change(provider.id, is_active=False)


@dataclass(frozen=True)
class _EmailStore:
    world: World

    async def accepted(self, attempt: Attempt) -> Envelope | None:
        del attempt
        await elsewhere()
        return self.world.log[0]

    async def content(self, accepted: Envelope) -> Content | None:
        del accepted
        await elsewhere()
        return Content(text="Good morning.")


@dataclass(frozen=True)
class _Peers:
    world: World
    worker: Worker

    async def settle(self, attempt: Attempt, *, begun: bool) -> tuple[Envelope | None, bool]:
        worker, outcome_log = self.worker, _OutcomeLog(self.world)
        worker.asking = True
        while True:
            await elsewhere()
            found = outcome_log.world_found(attempt)
            holding = [each for each in self.world.others(worker) if each.dotted or not each.lapsed]
            if found is not None or not [each for each in holding if not each.asking or each.number < worker.number]:
                break
        worker.asking = False
        return found, begun
