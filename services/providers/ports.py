"""Interfaces between the handlers and the outside: views, stored secrets, relays."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, TypeVar

from libs.common.facts import Actor, Envelope, Fact, new_envelope
from libs.common.facts.domain import DomainState
from libs.common.facts.provider import ProviderState
from libs.common.facts.user import UserState
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.views import View
from libs.common.mime.addresses import Mailbox
from libs.common.relay.port import Relay, Submission, Trouble
from services.providers.accounts.test_message_rules import ProviderTestEmail
from services.providers.sending_domains.dns_record_rules import Question, Seen

State = TypeVar("State", covariant=True)  # noqa: PLC0105 - State is what it is


class Known(Protocol[State]):
    """A set of aggregates in memory."""

    @property
    def live(self) -> Mapping[int, State]:
        """The existing ones, by id."""
        ...

    @property
    def highest(self) -> int:
        """The highest id ever given."""
        ...


class SecretLostError(Exception):
    """The stored credentials are missing or damaged: the user has to enter them again."""


class Secrets(Protocol):
    """Credentials at rest, encrypted and bound to their provider."""

    async def put(self, provider_id: int, secret: Mapping[str, str]) -> str:
        """Store a new version; its name. Raises the errors of `publish_durably`."""
        ...

    async def get(self, provider_id: int, version: str) -> Mapping[str, str]:
        """Raises `SecretLostError`, `UnavailableError`."""
        ...


class Relays(Protocol):
    """Connections to providers."""

    def open(self, provider: ProviderState, secret: Mapping[str, str]) -> Relay | Trouble:
        """A relay for a provider, nothing connected yet; close it when done. Or why there can be none."""
        ...


class LookUp(Protocol):
    """DNS."""

    async def __call__(self, questions: Sequence[Question]) -> Mapping[Question, Seen]:
        """Every question with its answer, within four seconds; one that nobody answered says so. Never raises."""
        ...


class Compose(Protocol):
    """A test email made into a message."""

    def __call__(self, email: ProviderTestEmail, *, sender: Mailbox, recipient: str, at: datetime) -> Submission:
        """Ready for a relay; addresses are normalised."""
        ...


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller and the request."""

    actor: Actor
    user_id: int | None
    request_id: str | None

    def envelope(self, fact: Fact, at: datetime) -> Envelope:
        """A fact of ours that this caller brought about."""
        return new_envelope(fact, source="providers", actor=self.actor, at=at, correlation_id=self.request_id)


@dataclass(frozen=True, slots=True)
class Registry:
    """Everything the handlers need. `lock` queues this process's writers; other processes lose by sequence.

    `registering` names the domains that a provider is being asked about for the first time right now.
    """

    bus: Bus
    provider_view: View
    domain_view: View
    user_view: View
    providers: Known[ProviderState]
    domains: Known[DomainState]
    users: Known[UserState]
    secrets: Secrets
    relays: Relays
    look_up: LookUp
    compose: Compose
    inbox: str | None
    custom_endpoints: bool
    brand: str
    now: Callable[[], datetime]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    registering: set[str] = field(default_factory=set)
