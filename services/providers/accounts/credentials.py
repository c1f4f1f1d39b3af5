"""Stored credentials on their way to a change or a relay, and back."""

from collections.abc import Mapping

from libs.common.errors import ConflictError
from libs.common.facts.provider import ProviderState
from services.providers.accounts.credential_rules import Block, Credentials
from services.providers.accounts.kind_rules import require_kind
from services.providers.ports import Registry, SecretLostError


async def stored_secret(registry: Registry, provider: ProviderState) -> Mapping[str, str]:
    """A provider's stored credentials in the clear; empty if it has none. Raises `ConflictError`."""
    if provider.credential_version is None:
        return {}
    try:
        return await registry.secrets.get(provider.id, provider.credential_version)
    except SecretLostError as lost:
        raise ConflictError(str(lost), suggestion="Give the provider its credentials anew (PATCH).") from lost


async def stored_credentials(registry: Registry, provider: ProviderState, block: Block) -> Credentials:
    """The credentials that `block` changes. Lost ones count as empty if the block gives all that is needed."""
    try:
        secret = await stored_secret(registry, provider)
    except ConflictError:
        if not require_kind(provider.provider_type).needed <= block.keys():
            raise
        secret = {}
    return Credentials(provider.smtp, secret)


async def version_for(
    registry: Registry, provider: ProviderState, before: Credentials, after: Credentials
) -> str | None:
    """The version that the next fact names: the same as long as the secret is, whatever else changes."""
    if dict(after.secret) == dict(before.secret) and before.secret:
        return provider.credential_version
    return await registry.secrets.put(provider.id, after.secret) if after.secret else None
