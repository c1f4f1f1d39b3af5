"""Users, keys, providers and domains as facts carry them; every value that is or hides a secret is `CANARY`."""

from typing import Any

from libs.common.events.domain import DomainState
from libs.common.events.key import KeyState
from libs.common.events.provider import ProviderState, SmtpEndpoint
from libs.common.events.user import UserState
from tests.support.history import BEGINNING

CANARY = "canary-3b9c"


def user(id: int = 1, name: str = "Administrator") -> UserState:
    return UserState(
        id=id,
        email="ann@example.org",
        name=name,
        role="admin",
        is_active=True,
        epoch=1,
        credential_version=CANARY,
        created_at=BEGINNING,
        updated_at=BEGINNING,
    )


def key(id: int = 1, name: str = "First key") -> KeyState:
    return KeyState(
        id=id,
        name=name,
        prefix=CANARY,
        sha256=CANARY,
        user_id=1,
        role=None,
        scopes=["emails:send"],
        expires_at=None,
        created_at=BEGINNING,
    )


def provider(id: int = 1, **other: Any) -> ProviderState:
    state = ProviderState(
        id=id,
        name="Relay",
        provider_type="smtp",
        region="custom",
        is_active=True,
        is_default=False,
        is_local_inbox=False,
        max_connections=10,
        rate_limit_per_second=None,
        fallback_provider_ids=[],
        smtp=SmtpEndpoint(host="smtp.example.com", port=587, encryption="starttls", accept_invalid_certs=False),
        credentials={"username": CANARY, "password": CANARY},
        credential_version=CANARY,
        last_test=None,
        stopped=None,
        created_at=BEGINNING,
        updated_at=BEGINNING,
    )
    return state.model_copy(update=other)


def domain(id: int = 1, **other: Any) -> DomainState:
    state = DomainState(
        id=id,
        provider_id=1,
        domain="example.com",
        status="pending",
        dns_records=[],
        last_verified_at=None,
        verification_error=None,
        created_at=BEGINNING,
        updated_at=BEGINNING,
    )
    return state.model_copy(update=other)
