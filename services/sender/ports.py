"""The interfaces between the handlers and the outside."""

from collections.abc import Callable, Mapping
from typing import Protocol

from libs.common.facts import Envelope
from libs.common.facts.domain import DomainState
from libs.common.facts.email import EmailFact
from libs.common.facts.provider import ProviderState
from libs.common.jetstream.content import Content
from libs.common.relay.port import BeforeDot, SendResult, Submission
from services.sender.deliver.attempt_rules import Attempt
from services.sender.routing_rules import Closed


class Directory(Protocol):
    """Domains and providers for routing, from views in memory."""

    @property
    def providers(self) -> Mapping[int, ProviderState]: ...

    @property
    def domains(self) -> Mapping[str, DomainState]: ...

    @property
    def caught_up(self) -> bool:
        """True once both sets have been read."""
        ...

    async def refresh(self) -> bool:
        """Catch up with the log; False when that could not be done in time."""
        ...


class EmailStore(Protocol):
    """Reading what was stored; waits for as long as JetStream is away."""

    async def accepted(self, attempt: Attempt) -> Envelope | None:
        """The fact that began this email, None when the log has lost it."""
        ...

    async def content(self, accepted: Envelope) -> Content | None:
        """The bodies, None when they are lost or are not this email's."""
        ...


class OutcomeLog(Protocol):
    """Writing down what happened. Nothing here ever fails: it goes on until it is written, and the worker waits."""

    async def find(self, attempt: Attempt, *, redelivered: bool) -> Envelope | None:
        """The fact that ended this attempt, if there is one; `redelivered`: somebody else may have written it."""
        ...

    async def record(self, fact: EmailFact, *, correlation_id: str | None, causation_id: str | None) -> Envelope:
        """Append a fact; the same as stored."""
        ...

    async def move(self, attempt: Attempt, rerouted: Envelope) -> None:
        """Let an attempt become due at once where that fact says; once, however often it is asked in two minutes."""
        ...

    async def schedule(self, attempt: Attempt) -> None:
        """Let an attempt become due at its time; it replaces an earlier schedule of the same email."""
        ...

    async def stop_provider(self, provider: ProviderState, reason: str) -> None:
        """Append `provider.stopped`, unless its settings have changed since `provider` was read."""
        ...


class Peers(Protocol):
    """The other workers, where there are any."""

    async def settle(self, attempt: Attempt, *, begun: bool) -> tuple[Envelope | None, bool]:
        """Wait until no other worker has this attempt in hand, and none can have it from before a reconnect.

        The fact that ended it meanwhile, if one did; and whether a lost worker may have begun it: `begun`, unless one
        that is there knows that nothing was sent.
        """
        ...


class NoSlotsError(Exception):
    """There is no place here and there will be none: another worker has it."""


class DeliveryChannel(Protocol):
    """One provider's way out."""

    @property
    def available(self) -> bool:
        """True if this provider accepts other providers' mail now."""
        ...

    def closed(self) -> Closed | None:
        """Why nothing is sent through it now; None when something is, be it only to try it out."""
        ...

    def invite(self) -> None:
        """Another provider's mail is coming here: while this one has to be tried out, one at a time."""
        ...

    async def send(
        self, submission: Submission, before_dot: BeforeDot, elsewhere: Callable[[], bool]
    ) -> SendResult | None:
        """Wait for a turn and hand the message over.

        None when the provider was deleted meanwhile, or is closed and `elsewhere` says that there is another way.
        Raises NoSlotsError.
        """
        ...


class Lease(Protocol):
    """Our right to work on a message of the queue."""

    async def confirm(self) -> bool:
        """True if the final dot may be sent: the lease is held, and the outcome can be written."""
        ...

    def decided(self) -> None:
        """The outcome is being written: from here on the message must not be returned as untouched."""
        ...

    async def regain(self) -> bool:
        """Nothing was sent so far: wait until sending is possible again; False when the lease is lost."""
        ...
