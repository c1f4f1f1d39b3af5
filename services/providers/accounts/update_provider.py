"""Change a provider; what was not given stays, the stored secret byte for byte."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from libs.common.errors import NotFoundError, UnavailableError
from libs.common.facts.provider import ProviderResumed, ProviderState, ProviderUpdated
from libs.common.relay.connection import same_connection
from services.providers.accounts.change_rules import Change, next_to_update, resumed
from services.providers.accounts.credential_rules import Block, check_endpoint, merge
from services.providers.accounts.credentials import stored_credentials, stored_secret, version_for
from services.providers.accounts.kind_rules import require_kind
from services.providers.appending import (
    Changed,
    NothingToDoError,
    SupersededError,
    append_step,
    caught_up,
    find_provider,
)
from services.providers.asking import check_credentials
from services.providers.ports import Caller, Registry

_TRIES = 30
"""As many as others may win against us in a row, a few milliseconds each, before the caller is sent away."""


@dataclass(frozen=True, slots=True)
class _Wiring:
    """The settings whose change needs a live check. SMTP's are never checked live."""

    region: str
    secret: Mapping[str, str] = field(repr=False)


class _UncheckedError(Exception):
    """The change is about to be made, and nobody has asked the provider about it yet."""

    def __init__(self, wanted: ProviderState, wiring: _Wiring) -> None:
        super().__init__()
        self.wanted, self.wiring = wanted, wiring


@dataclass(frozen=True, slots=True)
class _Request:
    """The requested update; `block` is None if the request changes no credentials."""

    id: int
    settings: Mapping[str, Any]
    block: Block | None = field(repr=False)
    verify: bool
    caller: Caller


async def update_provider(
    registry: Registry, id: int, settings: Mapping[str, Any], block: Block | None, caller: Caller, *, verify: bool
) -> Changed[ProviderState]:
    """The provider afterwards; no positions when nothing changed. `block` None: no credentials were given.

    With `verify` a change of credentials or region is checked live, and nothing is stored if that fails; whether it
    was checked or not, such a change lets a stopped provider go on, because somebody has mended it or says so.
    Raises `NotFoundError`, `InvalidError`, `TempsError` (`credentials_rejected`, `provider_unreachable`), and the
    errors of appending.
    """
    request = _Request(id, settings, block, verify, caller)
    checked: _Wiring | None = None
    for _ in range(_TRIES):
        try:
            async with registry.lock:
                await caught_up(registry.provider_view)
                return await _update(registry, request, checked)
        except SupersededError:
            continue
        except _UncheckedError as unchecked:
            # Outside the lock: others change providers while this one takes its time to answer.
            await check_credentials(registry, unchecked.wanted, unchecked.wiring.secret)
            checked = unchecked.wiring
    raise UnavailableError("too many others are changing this provider at the same time")


async def _update(registry: Registry, request: _Request, checked: _Wiring | None) -> Changed[ProviderState]:
    id = request.id
    base = await find_provider(registry, id)
    change, version = await _prepared(registry, request, base, checked)
    wires = request.block is not None or "region" in request.settings

    def decide() -> ProviderUpdated | ProviderResumed:
        current = registry.providers.live.get(id)
        if current is None:
            raise NotFoundError(f"there is no provider {id}")
        if wires and not same_connection(current, base):
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
            step, sequence = await append_step(registry.bus, registry.provider_view, decide, request.caller, registry)
    except NothingToDoError:
        return Changed(registry.providers.live[id], {})
    if not wires or same_connection(step.provider, base):
        return Changed(step.provider, {"provider": sequence})
    return await resume(registry, id, request.caller) or Changed(step.provider, {"provider": sequence})


async def _prepared(
    registry: Registry, request: _Request, base: ProviderState, checked: _Wiring | None
) -> tuple[Change, str | None]:
    """The change, and the version that names its secret: what is refused or changes nothing leaves no secret behind.

    Raises `_UncheckedError` when the provider has to be asked first.
    """
    change, version = Change(request.settings), base.credential_version
    if request.block is not None:
        before = await stored_credentials(registry, base, request.block)
        change = replace(change, before=before, after=merge(base.provider_type, before, request.block))
    if change.before is not None and change.after is not None:
        check_endpoint(base.provider_type, change.before, change.after, allowed=registry.custom_endpoints)
    step = next_to_update(
        registry.providers.live, base, change, version=version, inbox=registry.inbox, at=registry.now()
    )
    if step is None:
        return change, version
    await _require_checked(registry, request, base, change, checked)
    if change.before is not None and change.after is not None:
        version = await version_for(registry, base, change.before, change.after)
    return change, version


async def _require_checked(
    registry: Registry, request: _Request, base: ProviderState, change: Change, checked: _Wiring | None
) -> None:
    region = request.settings.get("region", base.region)
    moves = region != base.region
    if not request.verify or not (moves or change.after is not None):
        return
    if not require_kind(base.provider_type).is_checked_live:
        return
    before = change.before.secret if change.before is not None else await stored_secret(registry, base)
    after = change.after.secret if change.after is not None else before
    wiring = _Wiring(region, dict(after))
    if (moves or dict(before) != dict(after)) and wiring != checked:
        raise _UncheckedError(base.model_copy(update={"region": region}), wiring)


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
