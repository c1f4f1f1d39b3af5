"""Turns requests about sending domains into facts, given the domains as they are."""

from collections.abc import Mapping
from datetime import datetime

from libs.common.errors import ConflictError
from libs.common.facts.domain import DomainCreated, DomainDeleted, DomainState, DomainVerificationFailed, DomainVerified
from services.providers.sending_domains.verification_rules import Checked

Domains = Mapping[int, DomainState]


def by_name(domains: Domains, name: str) -> DomainState | None:
    """The domain called `name` (lower case, IDNA)."""
    return next((state for state in domains.values() if state.domain == name), None)


def of_provider(domains: Domains, provider_id: int) -> list[DomainState]:
    """A provider's domains, oldest first."""
    return sorted((state for state in domains.values() if state.provider_id == provider_id), key=lambda state: state.id)


def require_free(domains: Domains, name: str) -> None:
    """A domain is registered once in the whole system. Raises `ConflictError`."""
    if by_name(domains, name) is not None:
        raise ConflictError(f"the domain {name} is already registered", slug="duplicate_domain")


def create(domains: Domains, *, id: int, provider_id: int, name: str, checked: Checked, at: datetime) -> DomainCreated:
    """A domain with what its provider said of it. Raises `ConflictError`."""
    require_free(domains, name)
    return DomainCreated(
        domain=DomainState(
            id=id,
            provider_id=provider_id,
            domain=name,
            status=checked.status,
            dns_records=list(checked.records),
            last_verified_at=at if checked.confirmed else None,
            verification_error=checked.error,
            created_at=at,
            updated_at=at,
        )
    )


def verified(state: DomainState, checked: Checked, at: datetime) -> DomainVerified | DomainVerificationFailed:
    """The domain after a check; without confirmation it keeps the time of its last success."""
    update = {
        "status": checked.status,
        "dns_records": list(checked.records),
        "verification_error": checked.error,
        "last_verified_at": at if checked.confirmed else state.last_verified_at,
        "updated_at": at,
    }
    fact = DomainVerified if checked.confirmed else DomainVerificationFailed
    return fact(domain=state.model_copy(update=update))


def delete(state: DomainState, at: datetime) -> DomainDeleted:
    """The domain is registered no longer."""
    return DomainDeleted(domain=state.model_copy(update={"updated_at": at}))
