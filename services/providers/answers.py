"""Answers about providers and domains."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from libs.common.facts.domain import DnsRecord, DomainState, DomainStatus
from libs.common.facts.provider import LastTest, ProviderState, Stopped
from libs.common.relay.kinds import KINDS
from libs.common.web import ResponseModel


class Provider(ResponseModel):
    """A provider; `credentials` is masked. `stopped` says why its mail waits, null when it does not."""

    id: int
    name: str
    provider_type: Annotated[str, Field(examples=list(KINDS))]
    region: str
    is_active: bool
    is_default: bool
    is_local_inbox: bool
    max_connections: int
    rate_limit_per_second: float | None
    fallback_provider_ids: list[int]
    unknown_policy: Annotated[str, Field(examples=["retry", "hold"])]
    helo_name: str | None
    credentials: dict[str, str | int | bool | None]
    last_test: LastTest | None
    stopped: Stopped | None
    created_at: datetime
    updated_at: datetime


class TestResult(ResponseModel):
    """How a test email went; `error` is what the relay said when it refused."""

    __test__ = False  # pytest: not a test

    success: bool
    sent_to: str
    provider_message_id: str | None
    error: str | None


class Domain(ResponseModel):
    """A sending domain; `domain` is lower case and IDNA."""

    id: int
    provider_id: int
    domain: str
    status: DomainStatus
    last_verified_at: datetime | None
    verification_error: str | None
    created_at: datetime
    updated_at: datetime


class DomainWithDns(ResponseModel):
    """A domain and the records that its owner has to publish."""

    domain: Domain
    dns_records: list[DnsRecord]


def provider_answer(state: ProviderState) -> Provider:
    """A provider as callers see it."""
    return Provider(**{name: getattr(state, name) for name in Provider.model_fields})


def domain_answer(state: DomainState) -> Domain:
    """A domain as callers see it."""
    return Domain(**{name: getattr(state, name) for name in Domain.model_fields})


def domain_with_dns(state: DomainState) -> DomainWithDns:
    """The same with its DNS records."""
    return DomainWithDns(domain=domain_answer(state), dns_records=state.dns_records)
