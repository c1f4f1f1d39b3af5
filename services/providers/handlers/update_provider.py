"""Change a provider; what was not given stays, the stored secret byte for byte."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from libs.common.errors import NotFoundError, UnavailableError
from libs.common.events.provider import ProviderResumed, ProviderState, ProviderUpdated
from services.providers.domain.changes import Change, next_to_update, resumed, same_route
from services.providers.domain.credentials import Block, merge
from services.providers.handlers.appending import (
    Changed,
    NothingToDoError,
    SupersededError,
    append_step,
    caught_up,
    find_provider,
)
from services.providers.handlers.credentials import stored_credentials, version_for
from services.providers.ports import Caller, Registry

_TRIES = 8


async def update_provider(
    registry: Registry, id: int, settings: Mapping[str, Any], block: Block | None, caller: Caller
) -> Changed[ProviderState]:
    """The provider afterwards; no positions when nothing changed. `block` None: no credentials were given.

    Raises `NotFoundError`, `InvalidError`, `TempsError`, and the errors of appending.
    """
    async with registry.lock:
        await caught_up(registry.provider_view)
        for _ in range(_TRIES):
            try:
                return await _update(registry, id, Change(settings), block, caller)
            except SupersededError:
                continue
    raise UnavailableError("too many others are changing this provider at the same time")


async def _update(
    registry: Registry, id: int, change: Change, block: Block | None, caller: Caller
) -> Changed[ProviderState]:
    base = await find_provider(registry, id)
    version = base.credential_version
    if block is not None:
        before = await stored_credentials(registry, base, block)
        change = replace(change, before=before, after=merge(base.provider_type, before, block))
        # What is going to be refused, or changes nothing, leaves no secret behind.
        step = next_to_update(
            registry.providers.live, base, change, version=version, inbox=registry.inbox, at=registry.now()
        )
        if step is not None and change.after is not None:
            version = await version_for(registry, base, before, change.after)

    def decide() -> ProviderUpdated | ProviderResumed:
        current = registry.providers.live.get(id)
        if current is None:
            raise NotFoundError(f"there is no provider {id}")
        if block is not None and not same_route(current, base):
            raise SupersededError
        step = next_to_update(
            registry.providers.live, current, change, version=version, inbox=registry.inbox, at=registry.now()
        )
        if step is None:
            raise NothingToDoError
        return step

    step, sequence = None, 0
    try:
        while not (isinstance(step, ProviderUpdated) and step.provider.id == id):
            step, sequence = await append_step(registry.bus, registry.provider_view, decide, caller, registry)
    except NothingToDoError:
        return Changed(registry.providers.live[id], {})
    if block is None or same_route(step.provider, base):
        return Changed(step.provider, {"provider": sequence})
    return await resume(registry, id, caller) or Changed(step.provider, {"provider": sequence})


async def resume(registry: Registry, id: int, caller: Caller) -> Changed[ProviderState] | None:
    """Let mail flow again if the provider was stopped; None when it was not, or is gone."""

    def decide() -> ProviderResumed:
        current = registry.providers.live.get(id)
        fact = None if current is None else resumed(current, registry.now())
        if fact is None:
            raise NothingToDoError
        return fact

    try:
        step, sequence = await append_step(registry.bus, registry.provider_view, decide, caller, registry)
    except NothingToDoError:
        return None
    return Changed(step.provider, {"provider": sequence})
