"""Turns a request about providers into facts: each pure step gives the next fact, until none is left.

Several facts may be needed (a default moves, a provider leaves other lists). Each step looks at the providers as
they are then, so that somebody else's change in between is seen; the order is such that there are never two defaults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from libs.common.errors import InvalidError
from libs.common.facts.provider import (
    LastTest,
    ProviderCreated,
    ProviderDeleted,
    ProviderResumed,
    ProviderState,
    ProviderTested,
    ProviderUpdated,
)
from libs.common.relay.inbox import is_local_inbox
from services.providers.accounts.credential_rules import Credentials, changes, check_endpoint, masked
from services.providers.accounts.kind_rules import require_kind
from services.providers.accounts.region_rules import check_region

Providers = Mapping[int, ProviderState]


@dataclass(frozen=True, slots=True)
class Draft:
    """A provider that somebody asks for; `credentials` checked and complete."""

    name: str
    provider_type: str
    region: str
    is_active: bool
    is_default: bool
    max_connections: int
    rate_limit_per_second: float | None
    fallback_provider_ids: tuple[int, ...]
    credentials: Credentials = field(repr=False)
    unknown_policy: str = "retry"
    helo_name: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A requested change: `settings` by field name; `credentials` is None if they stay as they are."""

    settings: Mapping[str, Any]
    before: Credentials | None = field(default=None, repr=False)
    after: Credentials | None = field(default=None, repr=False)


def check_draft(draft: Draft, *, custom_endpoints: bool) -> None:
    """The checks that need no other provider. Raises `InvalidError`."""
    check_region(draft.provider_type, draft.region)
    _check_helo_name(draft.provider_type, draft.helo_name)
    check_endpoint(draft.provider_type, None, draft.credentials, allowed=custom_endpoints)
    if draft.is_default:
        _require_active(is_active=draft.is_active)


def takes_default(providers: Providers, draft: Draft, *, inbox: str | None) -> bool:
    """Asked to be the default, or the first real provider while the bundled inbox stands in for one."""
    if draft.is_default:
        return True
    stand_in = any(state.is_default and state.is_local_inbox for state in providers.values())
    return stand_in and draft.is_active and not _is_inbox(draft.credentials, inbox)


def next_to_create(
    providers: Providers,
    draft: Draft,
    *,
    id: int,
    default: bool,
    version: str | None,
    inbox: str | None,
    at: datetime,
) -> ProviderUpdated | ProviderCreated:
    """The former default gives way first, then the provider is there. Raises `InvalidError`."""
    _check_fallbacks(providers, draft.fallback_provider_ids, own=None)
    rival = _other_default(providers, id) if default else None
    if rival is not None:
        return _gives_way(rival, at)
    return ProviderCreated(provider=drafted(draft, id=id, default=default, version=version, inbox=inbox, at=at))


def drafted(
    draft: Draft, *, id: int, default: bool, version: str | None, inbox: str | None, at: datetime
) -> ProviderState:
    """The provider that a draft becomes."""
    return ProviderState(
        id=id,
        name=draft.name,
        provider_type=draft.provider_type,
        region=draft.region,
        is_active=draft.is_active,
        is_default=default,
        is_local_inbox=_is_inbox(draft.credentials, inbox),
        max_connections=draft.max_connections,
        rate_limit_per_second=draft.rate_limit_per_second,
        fallback_provider_ids=list(draft.fallback_provider_ids),
        unknown_policy=draft.unknown_policy,
        helo_name=draft.helo_name,
        smtp=draft.credentials.endpoint,
        credentials=masked(draft.provider_type, draft.credentials),
        credential_version=version,
        last_test=None,
        stopped=None,
        created_at=at,
        updated_at=at,
    )


def next_to_update(
    providers: Providers, state: ProviderState, change: Change, *, version: str | None, inbox: str | None, at: datetime
) -> ProviderUpdated | ProviderResumed | None:
    """None when the provider already is as wanted. `version` names the secret if credentials changed.

    Raises `InvalidError`.
    """
    settings = dict(change.settings)
    if "region" in settings:
        check_region(state.provider_type, settings["region"])
    _check_helo_name(state.provider_type, settings.get("helo_name"))
    if settings.get("is_default"):
        _require_active(is_active=settings.get("is_active", state.is_active))
    elif settings.get("is_active") is False:
        settings["is_default"] = False
    if "fallback_provider_ids" in settings:
        _check_fallbacks(providers, tuple(settings["fallback_provider_ids"]), own=state.id)
    updated = state.model_copy(update=settings)
    changed = [name for name in settings if getattr(updated, name) != getattr(state, name)]
    if change.before is not None and change.after is not None:
        credential_changes = changes(state.provider_type, change.before, change.after)
        if credential_changes:
            changed += credential_changes
            updated = _with_credentials(updated, change.after, version)
    updated = updated.model_copy(update={"is_local_inbox": _endpoint_is_inbox(updated, inbox)})
    if updated.is_local_inbox != state.is_local_inbox:
        changed.append("is_local_inbox")
    if not changed:
        return None
    rival = _other_default(providers, state.id) if updated.is_default and not state.is_default else None
    if rival is not None:
        return _gives_way(rival, at)
    return ProviderUpdated(provider=updated.model_copy(update={"updated_at": at}), changed_fields=changed)


def resumed(state: ProviderState, at: datetime) -> ProviderResumed | None:
    """The fact that resumes a provider; None if it was not stopped."""
    if state.stopped is None:
        return None
    return ProviderResumed(provider=state.model_copy(update={"stopped": None, "updated_at": at}))


def next_to_delete(
    providers: Providers, state: ProviderState, *, forced: bool, at: datetime
) -> ProviderUpdated | ProviderDeleted:
    """It leaves every list of fallbacks, then it is gone; the secret's version is no longer named."""
    for other in providers.values():
        if other.id != state.id and state.id in other.fallback_provider_ids:
            rest = [id for id in other.fallback_provider_ids if id != state.id]
            return ProviderUpdated(
                provider=other.model_copy(update={"fallback_provider_ids": rest, "updated_at": at}),
                changed_fields=["fallback_provider_ids"],
            )
    gone = {"is_default": False, "is_active": False, "credential_version": None, "updated_at": at}
    return ProviderDeleted(provider=state.model_copy(update=gone), forced=forced)


def after_test(
    state: ProviderState, *, recipient: str, error: str | None, provider_message_id: str | None, at: datetime
) -> ProviderTested:
    """How a test email went; `error` None is success."""
    last = LastTest(at=at, success=error is None, error=error)
    return ProviderTested(
        provider=state.model_copy(update={"last_test": last}),
        recipient_email=recipient,
        success=error is None,
        error=error,
        provider_message_id=provider_message_id,
    )


def _with_credentials(state: ProviderState, credentials: Credentials, version: str | None) -> ProviderState:
    return state.model_copy(
        update={
            "smtp": credentials.endpoint,
            "credentials": masked(state.provider_type, credentials),
            "credential_version": version,
        }
    )


def _check_helo_name(provider_type: str, name: str | None) -> None:
    if name is not None and not require_kind(provider_type).has_endpoint:
        raise InvalidError([("helo_name", f"does not belong to a provider of type {provider_type}")])


def _require_active(*, is_active: bool) -> None:
    if not is_active:
        raise InvalidError([("is_default", "an inactive provider cannot be the default")])


def _check_fallbacks(providers: Providers, ids: tuple[int, ...], own: int | None) -> None:
    if own in ids:
        raise InvalidError([("fallback_provider_ids", "a provider cannot be its own fallback")])
    missing = [str(id) for id in ids if id not in providers]
    if missing:
        raise InvalidError([("fallback_provider_ids", f"no such provider: {', '.join(missing)}")])


def _other_default(providers: Providers, id: int) -> ProviderState | None:
    return next((state for state in providers.values() if state.is_default and state.id != id), None)


def _gives_way(state: ProviderState, at: datetime) -> ProviderUpdated:
    update = {"is_default": False, "updated_at": at}
    return ProviderUpdated(provider=state.model_copy(update=update), changed_fields=["is_default"])


def _is_inbox(credentials: Credentials, inbox: str | None) -> bool:
    endpoint = credentials.endpoint
    return endpoint is not None and is_local_inbox(endpoint.host, endpoint.port, inbox)


def _endpoint_is_inbox(state: ProviderState, inbox: str | None) -> bool:
    return state.smtp is not None and is_local_inbox(state.smtp.host, state.smtp.port, inbox)
