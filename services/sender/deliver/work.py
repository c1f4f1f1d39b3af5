"""The input, the dependencies and the result of delivering one message of the queue."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from libs.common.facts import Envelope
from libs.common.facts.provider import ProviderState
from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.case import End
from services.sender.deliver.redelivery_rules import Handed
from services.sender.deliver.retry_rules import next_attempt_at
from services.sender.ports import DeliveryChannel, EmailStore, Lease, OutcomeLog, Peers


class RetryAt(Protocol):
    """`services.sender.deliver.retry_rules.next_attempt_at`."""

    def __call__(self, *, accepted_at: datetime, attempt: int, now: datetime, email_id: UUID) -> datetime | None: ...


@dataclass(frozen=True, slots=True)
class Work:
    """One message in hand. `accepted` is there for a first attempt: the queue's message is the fact itself.

    `untouched` says that this very worker had it before and knows that nothing was sent.
    """

    attempt: Attempt
    handed: Handed
    lease: Lease
    accepted: Envelope | None = None
    untouched: bool = False


@dataclass(frozen=True, slots=True)
class DeliverDeps:
    """The dependencies of `deliver_email`. `deleted`: the last state of each deleted provider."""

    outcome_log: OutcomeLog
    email_store: EmailStore
    providers: Mapping[int, ProviderState]
    deleted: Mapping[int, ProviderState]
    channels: Mapping[int, DeliveryChannel]
    peers: Peers
    retry_at: RetryAt = next_attempt_at
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def is_open(self, provider: ProviderState) -> bool:
        """True if this provider accepts other providers' mail now."""
        channel = self.channels.get(provider.id)
        return channel is not None and channel.available


@dataclass(frozen=True, slots=True)
class Finished:
    """`event` is the name of the fact that was written, else the end's; the other two say where a moved one went."""

    end: End
    event: str
    moved_to: int | None = None
    because: str = ""

    @property
    def acknowledge(self) -> bool:
        """True if the message may be acknowledged."""
        return self.end is not End.LEFT
