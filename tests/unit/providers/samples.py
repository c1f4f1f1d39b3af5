"""A provider to start from."""

from datetime import UTC, datetime
from typing import Any

from libs.common.facts.provider import ProviderState, SmtpEndpoint

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def endpoint(host: str = "smtp.example.com", port: int = 587) -> SmtpEndpoint:
    return SmtpEndpoint(host=host, port=port, encryption="starttls", accept_invalid_certs=False)


def provider(id: int, **other: Any) -> ProviderState:
    state = ProviderState(
        id=id,
        name=f"provider {id}",
        provider_type="smtp",
        region="custom",
        is_active=True,
        is_default=False,
        is_local_inbox=False,
        max_connections=10,
        rate_limit_per_second=None,
        fallback_provider_ids=[],
        smtp=endpoint(),
        credentials={},
        credential_version=None,
        last_test=None,
        stopped=None,
        created_at=T0,
        updated_at=T0,
    )
    return state.model_copy(update=other)
