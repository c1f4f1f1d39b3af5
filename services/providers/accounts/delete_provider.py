"""Delete a provider: first what depends on it, then the provider itself.

What its provider knows of its domains (identities at SES or Scaleway) is left there: deleting with force must work
without the credentials, and when the provider does not answer. Deleting each domain with `delete_from_provider` first
takes them away.
"""

from libs.common.errors import ConflictError, NotFoundError
from libs.common.facts.provider import ProviderDeleted, ProviderUpdated
from services.providers.accounts.change_rules import next_to_delete
from services.providers.appending import append_step, caught_up, find_provider
from services.providers.ports import Caller, Registry
from services.providers.sending_domains.domain_rules import of_provider
from services.providers.sending_domains.domains import remove_domain


async def delete_provider(registry: Registry, id: int, *, forced: bool, caller: Caller) -> dict[str, int]:
    """The positions that later requests have to see.

    Raises `NotFoundError`, `ConflictError` (`provider_in_use`), and the errors of appending.
    """
    async with registry.lock:
        await caught_up(registry.provider_view, registry.domain_view)
        await find_provider(registry, id)
        names = [state.domain for state in of_provider(registry.domains.live, id)]
        if names and not forced:
            raise ConflictError(
                f"provider {id} has {len(names)} domain{'s' if len(names) > 1 else ''}: {', '.join(names[:5])}",
                slug="provider_in_use",
                suggestion="Delete its domains first, or delete all of it with ?force=true.",
            )
        positions = await _delete_domains(registry, id, caller)

        def decide() -> ProviderUpdated | ProviderDeleted:
            current = registry.providers.live.get(id)
            if current is None:
                raise NotFoundError(f"there is no provider {id}")
            return next_to_delete(registry.providers.live, current, forced=forced, at=registry.now())

        step = None
        while not isinstance(step, ProviderDeleted):
            step, positions["provider"] = await append_step(
                registry.bus, registry.provider_view, decide, caller, registry
            )
        # The two sets have no common order: a domain that another process created meanwhile goes too. That process
        # looks whether its provider is still there after its own fact, so one of the two sees the other.
        await caught_up(registry.domain_view)
        return positions | await _delete_domains(registry, id, caller)


async def _delete_domains(registry: Registry, provider_id: int, caller: Caller) -> dict[str, int]:
    positions: dict[str, int] = {}
    for state in of_provider(registry.domains.live, provider_id):
        sequence = await remove_domain(registry, state.id, caller)
        if sequence is not None:
            positions["domain"] = sequence
    return positions
