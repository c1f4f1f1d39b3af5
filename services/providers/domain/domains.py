"""What a request makes of the sending domains: pure decisions over the domains as they are."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from libs.common.errors import ConflictError
from libs.common.events.domain import (
    DnsRecord,
    DomainCreated,
    DomainDeleted,
    DomainState,
    DomainStatus,
    DomainVerificationFailed,
    DomainVerified,
)

Domains = Mapping[int, DomainState]


def by_name(domains: Domains, name: str) -> DomainState | None:
    """The domain called `name` (lower case, IDNA)."""
    return next((state for state in domains.values() if state.domain == name), None)


def of_provider(domains: Domains, provider_id: int) -> list[DomainState]:
    """A provider's domains, oldest first."""
    return sorted((state for state in domains.values() if state.provider_id == provider_id), key=lambda state: state.id)


def create(
    domains: Domains,
    *,
    id: int,
    provider_id: int,
    name: str,
    status: DomainStatus,
    records: Iterable[DnsRecord],
    error: str | None,
    at: datetime,
) -> DomainCreated:
    """A domain is registered once in the whole system. Raises `ConflictError`."""
    if by_name(domains, name) is not None:
        raise ConflictError(f"the domain {name} is already registered", slug="duplicate_domain")
    return DomainCreated(
        domain=DomainState(
            id=id,
            provider_id=provider_id,
            domain=name,
            status=status,
            dns_records=list(records),
            last_verified_at=at if status == "verified" else None,
            verification_error=error,
            created_at=at,
            updated_at=at,
        )
    )


def verified(
    state: DomainState, *, status: DomainStatus, records: Iterable[DnsRecord], error: str | None, at: datetime
) -> DomainVerified | DomainVerificationFailed:
    """What a check found; the time of the last success stays when it failed."""
    update = {
        "status": status,
        "dns_records": list(records),
        "verification_error": error,
        "last_verified_at": at if status == "verified" else state.last_verified_at,
        "updated_at": at,
    }
    fact = DomainVerified if status == "verified" else DomainVerificationFailed
    return fact(domain=state.model_copy(update=update))


def delete(state: DomainState, at: datetime) -> DomainDeleted:
    """The domain is registered no longer."""
    return DomainDeleted(domain=state.model_copy(update={"updated_at": at}))
