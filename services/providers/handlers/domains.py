"""Register, verify and delete sending domains."""

from libs.common.errors import NotFoundError
from libs.common.events.domain import (
    DomainCreated,
    DomainDeleted,
    DomainState,
    DomainVerificationFailed,
    DomainVerified,
)
from libs.common.events.provider import ProviderState
from libs.common.relay.port import Relay
from services.providers.domain import domains
from services.providers.domain.changes import require_available
from services.providers.handlers.appending import (
    Changed,
    NothingToDoError,
    append_step,
    caught_up,
    find_domain,
    find_provider,
)
from services.providers.handlers.credentials import stored_secret
from services.providers.ports import Caller, Registry


async def create_domain(registry: Registry, provider_id: int, name: str, caller: Caller) -> Changed[DomainState]:
    """The domain as registered; `name` is lower case and IDNA.

    Raises `NotFoundError` for an unknown provider, `ConflictError` (`duplicate_domain`), `TempsError`
    (`provider_type_not_available`), and the errors of appending.
    """
    async with registry.lock:
        await caught_up(registry.provider_view, registry.domain_view)
        provider = await find_provider(registry, provider_id)
        require_available(provider.provider_type, "a sending domain")
        relay = await _relay(registry, provider)
        try:
            identity = await relay.create_identity(name)
        finally:
            await relay.close()

        def decide() -> DomainCreated:
            return domains.create(
                registry.domains.live,
                id=registry.domains.highest + 1,
                provider_id=provider_id,
                name=name,
                status=identity.status,
                records=identity.records,
                error=identity.error,
                at=registry.now(),
            )

        fact, sequence = await append_step(registry.bus, registry.domain_view, decide, caller, registry)
        await caught_up(registry.provider_view)
        if provider_id not in registry.providers.live:
            # Another process deleted the provider between our look and our fact (see delete_provider).
            await remove_domain(registry, fact.domain.id, caller)
            raise NotFoundError(f"there is no provider {provider_id}")
        return Changed(fact.domain, {"domain": sequence})


async def verify_domain(registry: Registry, id: int, caller: Caller) -> Changed[DomainState]:
    """Ask the provider, and record what it said. Raises `NotFoundError` and the errors of appending."""
    state = await find_domain(registry, id)
    provider = await find_provider(registry, state.provider_id)
    relay = await _relay(registry, provider)
    try:
        identity = await relay.verify_identity(state.domain)
    finally:
        await relay.close()

    def decide() -> DomainVerified | DomainVerificationFailed:
        current = registry.domains.live.get(id)
        if current is None:
            raise NotFoundError(f"there is no domain {id}")
        return domains.verified(
            current, status=identity.status, records=identity.records, error=identity.error, at=registry.now()
        )

    async with registry.lock:
        fact, sequence = await append_step(registry.bus, registry.domain_view, decide, caller, registry)
    return Changed(fact.domain, {"domain": sequence})


async def delete_domain(registry: Registry, id: int, *, at_provider: bool, caller: Caller) -> dict[str, int]:
    """The position that later requests have to see. Raises `NotFoundError` and the errors of appending."""
    async with registry.lock:
        await caught_up(registry.domain_view)
        state = await find_domain(registry, id)
        if at_provider:
            relay = await _relay(registry, await find_provider(registry, state.provider_id))
            try:
                await relay.delete_identity(state.domain)
            finally:
                await relay.close()
        sequence = await remove_domain(registry, id, caller)
    if sequence is None:
        raise NotFoundError(f"there is no domain {id}")
    return {"domain": sequence}


async def remove_domain(registry: Registry, id: int, caller: Caller) -> int | None:
    """Append the end of a domain; the sequence, or None when somebody else was first."""

    def decide() -> DomainDeleted:
        current = registry.domains.live.get(id)
        if current is None:
            raise NothingToDoError
        return domains.delete(current, registry.now())

    try:
        _, sequence = await append_step(registry.bus, registry.domain_view, decide, caller, registry)
    except NothingToDoError:
        return None
    return sequence


async def _relay(registry: Registry, provider: ProviderState) -> Relay:
    return registry.relays.open(provider, await stored_secret(registry, provider))
