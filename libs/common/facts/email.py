"""The life of one email, as facts. An *email* is what the customer asked for; an *attempt* one try at the relay.

One attempt leaves one fact: `sent` if anyone was accepted, else `deferred` if anyone is pending, else `bounced` if
anyone bounced, else `failed`; `unknown` when the relay's answer never came. Statuses are folded from `recipients`.
"""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from libs.common.facts.envelope import Fact

Outcome = Literal["accepted", "deferred", "bounced", "failed", "unknown"]
RecipientKind = Literal["to", "cc", "bcc"]
Lane = Literal["high", "normal", "bulk"]


class Part(BaseModel):
    """A piece of a fact."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class Party(Part):
    """An address with an optional display name. The domain is lower case and IDNA."""

    address: str
    name: str | None = None


class Recipient(Party):
    """One of the people an email is for; an address appears once, under its first kind."""

    kind: RecipientKind


class Tag(Part):
    """A tag as given: a bare string has no value."""

    name: str
    value: str | None = None


class ContentRef(Part):
    """Where the bodies are: a message of MAIL_CONTENT. `sha256` is of the stored bytes, hex."""

    sequence: int
    sha256: str
    size: int
    expires_at: datetime | None


class Route(Part):
    """Why this provider: `domain`, `fallback`, `default` or `none`; `detail` says it in words.

    `home_provider_id` is whose mail it is while another provider takes its place at the time of accepting.
    """

    reason: str
    domain_id: int | None = None
    detail: str | None = None
    home_provider_id: int | None = None


class RecipientOutcome(Part):
    """What the relay said about one recipient in one attempt. `text` is cleaned, at most 512 characters.

    `provider_message_id` is there where the provider names each recipient's copy (Scaleway).
    """

    address: str
    outcome: Outcome
    smtp_code: int | None = None
    enhanced_status: str | None = None
    text: str | None = None
    provider_message_id: str | None = None


class EmailFact(Fact):
    """Any fact of an email: its shard is the last byte of the id, in hex."""

    EVENT: ClassVar[str]

    email_id: UUID

    def aggregate(self) -> str:
        """`email/<id>`."""
        return f"email/{self.email_id}"

    def log_subject(self) -> str:
        """`mail.email.<shard>.<event>`."""
        return f"mail.email.{shard_of(self.email_id)}.{self.EVENT}"


class _Submitted(EmailFact):
    """What both accepted and captured emails say: everything but the bodies, which are content."""

    provider_id: int | None
    domain_id: int | None
    route: Route
    from_address: str
    from_name: str | None
    recipients: list[Recipient]
    reply_to: list[Party]
    subject: str
    tags: list[Tag]
    metadata: dict[str, str]
    message_id: str
    content: ContentRef
    has_html: bool
    has_text: bool
    track_opens: bool
    track_clicks: bool
    pixel: bool
    """A pixel was really put into the html."""
    links: list[str]
    """Original URLs by index; empty when clicks are not tracked."""
    rewriter_version: int | None


class EmailAccepted(_Submitted):
    """The commit point: from here on we owe this email a delivery or a reason."""

    TYPE = "email.accepted.v1"
    EVENT = "accepted"

    provider_id: int
    lane: Lane = "normal"

    def log_subject(self) -> str:
        """`mail.email.<shard>.accepted.<provider>.<lane>`: the last two tokens make the server queue it."""
        return f"mail.email.{shard_of(self.email_id)}.accepted.{self.provider_id}.{self.lane}"


class EmailCaptured(_Submitted):
    """No provider is responsible for the sender's domain: stored, visible, sent to nobody."""

    TYPE = "email.captured.v1"
    EVENT = "captured"


class _Attempted(EmailFact):
    """What one attempt led to, for all recipients of that attempt."""

    attempt: int
    provider_id: int | None
    recipients: list[RecipientOutcome]
    next_at: datetime | None = None
    """When the recipients that remain are tried again; None when none remain or the email is held."""
    next_provider_id: int | None = None
    """Who gets the next attempt if it is not the same provider: mail returns to the one it belongs to."""
    reason: str | None = None
    """A slug: `gave_up`, `content_lost`, `provider_deleted`, `worker_lost`, `connection`, `configuration`, …"""
    duration_ms: int | None = None


class EmailSent(_Attempted):
    """The relay took responsibility for at least one recipient (RFC 5321 section 4.2.5)."""

    TYPE = "email.sent.v1"
    EVENT = "sent"

    provider_message_id: str | None = None
    captured: bool = False
    """The bundled inbox took it: shown as `captured`."""


class EmailDeferred(_Attempted):
    """Nobody was accepted and somebody is still owed a try."""

    TYPE = "email.deferred.v1"
    EVENT = "deferred"


class EmailUnknown(_Attempted):
    """The final dot was sent, or a worker was lost, and no answer came: RFC 1047."""

    TYPE = "email.unknown.v1"
    EVENT = "unknown"

    stage: str
    """`worker_lost` or `final_dot`."""
    policy: str = "retry"
    """`retry` or `hold`."""


class EmailBounced(_Attempted):
    """Permanently refused, an address at fault; by the relay in the session, or by a later report."""

    TYPE = "email.bounced.v1"
    EVENT = "bounced"

    origin: str = "session"
    """`session` or `report`."""


class EmailFailed(_Attempted):
    """Will not be delivered, and it is not an address that is at fault; `reason` says why."""

    TYPE = "email.failed.v1"
    EVENT = "failed"


class EmailRerouted(EmailFact):
    """Its provider cannot send it or is gone: nothing was sent, another one takes over this very attempt."""

    TYPE = "email.rerouted.v1"
    EVENT = "rerouted"

    attempt: int
    from_provider_id: int
    provider_id: int
    route: Route
    tried: list[int] = Field(default_factory=list)
    """Every provider that this attempt has been at, oldest first; it does not go back to them."""


class EmailDelivered(EmailFact):
    """A provider's report: it reached the recipient's server."""

    TYPE = "email.delivered.v1"
    EVENT = "delivered"

    provider_id: int | None
    recipients: list[str]
    detail: str | None = None


class EmailComplained(EmailFact):
    """A recipient marked it as spam."""

    TYPE = "email.complained.v1"
    EVENT = "complained"

    provider_id: int | None
    recipients: list[str]
    detail: str | None = None


class _Hit(EmailFact):
    """Somebody, or a machine, loaded something out of the email."""

    ip_address: str | None
    user_agent: str | None
    machine: bool = False
    machine_reason: str | None = None

    def log_subject(self) -> str:
        """`track.<shard>.<event>`, a stream of its own: a flood of hits must not stop mail."""
        return f"track.{shard_of(self.email_id)}.{self.EVENT}"


class EmailOpened(_Hit):
    """The pixel was loaded."""

    TYPE = "email.opened.v1"
    EVENT = "opened"


class EmailClicked(_Hit):
    """A rewritten link was followed."""

    TYPE = "email.clicked.v1"
    EVENT = "clicked"

    link_index: int
    link_url: str


FACTS: tuple[type[Fact], ...] = (
    EmailAccepted,
    EmailCaptured,
    EmailSent,
    EmailDeferred,
    EmailUnknown,
    EmailBounced,
    EmailFailed,
    EmailRerouted,
    EmailDelivered,
    EmailComplained,
    EmailOpened,
    EmailClicked,
)


def shard_of(email_id: UUID) -> str:
    """The last byte of the id in hex: 256 shards keep the subjects few and one email's order whole."""
    return f"{email_id.int & 0xFF:02x}"
