"""Providers: each fact carries the full state after the change, so the last fact of a subject is the provider."""

from datetime import datetime

from libs.common.facts.email import Part
from libs.common.facts.envelope import Fact


class SmtpEndpoint(Part):
    """Where an SMTP provider is; nothing secret."""

    host: str
    port: int
    encryption: str
    accept_invalid_certs: bool


class LastTest(Part):
    """How the latest test email went."""

    at: datetime
    success: bool
    error: str | None


class Stopped(Part):
    """The provider's own configuration is at fault: its mail waits until somebody mends it."""

    reason: str
    at: datetime


class ProviderState(Part):
    """A provider as it is after a fact. `credentials` is the masked form that callers see."""

    id: int
    name: str
    provider_type: str
    """`libs.common.relay.kinds`; a newer version may have written one that this one does not know."""
    region: str
    is_active: bool
    is_default: bool
    is_local_inbox: bool
    max_connections: int
    rate_limit_per_second: float | None
    fallback_provider_ids: list[int]
    unknown_policy: str = "retry"
    """`retry` or `hold`."""
    helo_name: str | None = None
    """What EHLO says to an SMTP relay; None is the machine's full name if it has one, else an address literal."""
    smtp: SmtpEndpoint | None
    credentials: dict[str, str | int | bool | None]
    credential_version: str | None
    """Names the message `secret.provider.<id>.<version>` of MAIL_SECRETS; None when there is no secret."""
    last_test: LastTest | None
    stopped: Stopped | None
    created_at: datetime
    updated_at: datetime


class ProviderFact(Fact):
    """Any fact of a provider, on the one subject of that provider."""

    provider: ProviderState

    def aggregate(self) -> str:
        """`provider/<id>`."""
        return f"provider/{self.provider.id}"

    def log_subject(self) -> str:
        """`mail.provider.<id>`."""
        return f"mail.provider.{self.provider.id}"


class ProviderCreated(ProviderFact):
    """A provider was added."""

    TYPE = "provider.created.v1"


class ProviderUpdated(ProviderFact):
    """Settings or credentials changed; `changed_fields` names them, never their values."""

    TYPE = "provider.updated.v1"

    changed_fields: list[str]


class ProviderDeleted(ProviderFact):
    """The provider is gone; its id is never used again."""

    TYPE = "provider.deleted.v1"

    forced: bool


class ProviderTested(ProviderFact):
    """A test email was tried."""

    TYPE = "provider.tested.v1"

    recipient_email: str
    success: bool
    error: str | None
    provider_message_id: str | None


class ProviderStopped(ProviderFact):
    """The sender found its credentials or TLS at fault; `provider.stopped` says why."""

    TYPE = "provider.stopped.v1"


class ProviderResumed(ProviderFact):
    """Changed credentials or a successful test: mail flows again."""

    TYPE = "provider.resumed.v1"


FACTS: tuple[type[Fact], ...] = (
    ProviderCreated,
    ProviderUpdated,
    ProviderDeleted,
    ProviderTested,
    ProviderStopped,
    ProviderResumed,
)
