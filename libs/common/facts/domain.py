"""Sending domains: each fact carries the full state after the change."""

from datetime import datetime
from typing import Literal

from libs.common.facts.email import Part
from libs.common.facts.envelope import Fact

DomainStatus = Literal["pending", "verified", "failed", "not_started", "temporary_failure"]


class DnsRecord(Part):
    """One record that the domain's owner has to publish, and what was last seen of it."""

    record_type: Literal["TXT", "CNAME", "MX"]
    name: str
    value: str
    priority: int | None
    status: Literal["unknown", "verified", "pending", "failed"]
    required: bool


class DomainState(Part):
    """A domain as it is after a fact; `domain` is lower case and IDNA."""

    id: int
    provider_id: int
    domain: str
    status: DomainStatus
    dns_records: list[DnsRecord]
    last_verified_at: datetime | None
    verification_error: str | None
    created_at: datetime
    updated_at: datetime


class DomainFact(Fact):
    """Any fact of a domain, on the one subject of that domain."""

    domain: DomainState

    def aggregate(self) -> str:
        """`domain/<id>`."""
        return f"domain/{self.domain.id}"

    def log_subject(self) -> str:
        """`mail.domain.<id>`."""
        return f"mail.domain.{self.domain.id}"


class DomainCreated(DomainFact):
    """A domain was registered."""

    TYPE = "domain.created.v1"


class DomainVerified(DomainFact):
    """The provider and DNS agree: mail from this domain may be sent."""

    TYPE = "domain.verified.v1"


class DomainVerificationFailed(DomainFact):
    """A check was made and something is missing; the state says what."""

    TYPE = "domain.verification_failed.v1"


class DomainDeleted(DomainFact):
    """The domain is no longer registered; its id is never used again."""

    TYPE = "domain.deleted.v1"


FACTS: tuple[type[Fact], ...] = (DomainCreated, DomainVerified, DomainVerificationFailed, DomainDeleted)
