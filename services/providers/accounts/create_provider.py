"""Create a provider: asked first whether it works, then the secret, then the fact that names it."""

from libs.common.errors import UnavailableError
from libs.common.facts.provider import ProviderCreated, ProviderState, ProviderUpdated
from libs.common.jetstream.append import while_racing
from services.providers.accounts.change_rules import Draft, check_draft, drafted, next_to_create, takes_default
from services.providers.appending import Changed, SupersededError, append_step, caught_up
from services.providers.asking import check_credentials
from services.providers.ports import Caller, Registry


async def create_provider(registry: Registry, draft: Draft, caller: Caller, *, verify: bool) -> Changed[ProviderState]:
    """The provider as created; with `verify` its credentials are checked live, and nothing is stored if they fail.

    Raises `InvalidError`, `TempsError` (`credentials_rejected`, `provider_unreachable`), and the errors of appending.
    """
    check_draft(draft, custom_endpoints=registry.custom_endpoints)
    await caught_up(registry.provider_view)
    planned = _planned(registry, draft)
    if verify:
        await check_credentials(registry, planned, draft.credentials.secret)
    async with registry.lock:
        await caught_up(registry.provider_view)
        for _ in while_racing():
            try:
                return await _create(registry, draft, caller)
            except SupersededError:
                # Another process took the id: the secret is bound to it, so it is encrypted again for the next.
                continue
    raise UnavailableError("too many others are creating providers at the same time")


def _planned(registry: Registry, draft: Draft) -> ProviderState:
    """The provider as it would be now, unless it is refused."""
    known, inbox, at = registry.providers, registry.inbox, registry.now()
    id = known.highest + 1
    next_to_create(known.live, draft, id=id, default=False, version=None, inbox=inbox, at=at)
    return drafted(draft, id=id, default=False, version=None, inbox=inbox, at=at)


async def _create(registry: Registry, draft: Draft, caller: Caller) -> Changed[ProviderState]:
    known = registry.providers
    id = _planned(registry, draft).id  # refuses before anything is stored
    version = await registry.secrets.put(id, draft.credentials.secret) if draft.credentials.secret else None
    default = False

    def decide() -> ProviderUpdated | ProviderCreated:
        # Once the former default has given way somebody must take its place, so it is decided only once.
        nonlocal default
        if known.highest + 1 != id:
            raise SupersededError
        default = default or takes_default(known.live, draft, inbox=registry.inbox)
        return next_to_create(
            known.live, draft, id=id, default=default, version=version, inbox=registry.inbox, at=registry.now()
        )

    while True:
        step, sequence = await append_step(registry.bus, registry.provider_view, decide, caller, registry)
        if isinstance(step, ProviderCreated):
            return Changed(step.provider, {"provider": sequence})
