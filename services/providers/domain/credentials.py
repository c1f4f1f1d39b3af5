"""Credential blocks: what is secret in them, what is shown of them, and how a partial block changes them.

A block is checked by its request model before it comes here; its members are plain values, absent ones left out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from libs.common.errors import InvalidError
from libs.common.events.provider import ProviderType, SmtpEndpoint
from services.providers.domain.masks import HIDDEN, mask

Block = Mapping[str, str | int | bool | None]

BLOCKS: Mapping[ProviderType, str] = {
    "ses": "ses_credentials",
    "scaleway": "scaleway_credentials",
    "smtp": "smtp_credentials",
}
"""The one member of a request that holds the credentials of a type."""

NEEDED: Mapping[ProviderType, frozenset[str]] = {
    "ses": frozenset({"access_key_id", "secret_access_key"}),
    "scaleway": frozenset({"api_key", "project_id"}),
    "smtp": frozenset({"username", "password"}),
}
"""What a block must give for the stored secret not to be needed."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """`endpoint` is public; `secret` is what gets encrypted, empty when there is nothing to keep."""

    endpoint: SmtpEndpoint | None
    secret: Mapping[str, str] = field(repr=False)


def accept(provider_type: ProviderType, block: Block) -> Credentials:
    """The credentials of a new provider. Raises `InvalidError`."""
    return _ACCEPT[provider_type](block)


def merge(provider_type: ProviderType, stored: Credentials, block: Block) -> Credentials:
    """The credentials after a partial block: absent members, `""` and own masks keep what is stored.

    Raises `InvalidError`.
    """
    return _MERGE[provider_type](stored, block)


def masked(provider_type: ProviderType, credentials: Credentials) -> dict[str, str | int | bool | None]:
    """What callers see of them."""
    return _MASKED[provider_type](credentials)


def changes(provider_type: ProviderType, before: Credentials, after: Credentials) -> list[str]:
    """The names of members that differ, never their values, for instance `smtp_credentials.password`."""
    old, new = _members(before), _members(after)
    block = BLOCKS[provider_type]
    return [f"{block}.{name}" for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def check_endpoint(before: Credentials | None, after: Credentials, *, allowed: bool) -> None:
    """A custom endpoint is set only where the operator allows it; a stored one may stay. Raises `InvalidError`."""
    wanted = after.secret.get("endpoint_url")
    if wanted is not None and not allowed and (before is None or before.secret.get("endpoint_url") != wanted):
        raise InvalidError([("ses_credentials.endpoint_url", "custom endpoints are not allowed here")])


def _members(credentials: Credentials) -> dict[str, str | int | bool]:
    endpoint = credentials.endpoint.model_dump() if credentials.endpoint else {}
    return {**endpoint, **credentials.secret}


def _text(block: Block, name: str) -> str:
    """A member as text; `""` when absent or null."""
    value = block.get(name)
    return value if isinstance(value, str) else ""


# ------------------------------------------------------------------------------------------------------------- smtp


def _accept_smtp(block: Block) -> Credentials:
    username, password = _text(block, "username"), _text(block, "password")
    if not username.strip():
        return Credentials(_endpoint(block), {})
    if not password:
        raise InvalidError([("smtp_credentials.password", "is required when username is set")])
    return Credentials(_endpoint(block), {"username": username, "password": password})


def _merge_smtp(stored: Credentials, block: Block) -> Credentials:
    kept = stored.endpoint.model_dump() if stored.endpoint else {}
    given = {name: value for name, value in block.items() if value not in ("", None)}
    return Credentials(_endpoint({**kept, **given}), _merge_login(stored.secret, block))


def _merge_login(stored: Mapping[str, str], block: Block) -> Mapping[str, str]:
    if "username" in block and block["username"] is None:
        return {}
    username, password = _text(block, "username"), _text(block, "password")
    known = stored.get("username", "")
    if not username.strip() or (known and username == mask(known)):
        username = known
    if not username:
        return {}
    cleared = "password" in block and block["password"] is None
    if password in ("", HIDDEN):
        password = "" if cleared else stored.get("password", "")
    if not password:
        raise InvalidError([("smtp_credentials.password", "is required when username is set")])
    return {"username": username, "password": password}


def _masked_smtp(credentials: Credentials) -> dict[str, str | int | bool | None]:
    username = credentials.secret.get("username", "")
    return {
        **(credentials.endpoint.model_dump() if credentials.endpoint else {}),
        "username": mask(username) if username else "",
        "password": HIDDEN if username else None,
    }


def _endpoint(block: Block) -> SmtpEndpoint:
    return SmtpEndpoint.model_validate({name: block[name] for name in SmtpEndpoint.model_fields})


# ------------------------------------------------------------------------------------------------- ses, scaleway


def _accept_plain(block: Block) -> Credentials:
    return Credentials(None, {name: value for name, value in block.items() if isinstance(value, str) and value})


def _merge_plain(stored: Credentials, block: Block) -> Credentials:
    """Null clears what may be absent; the request models let it through for nothing else."""
    given = {
        name: value
        for name, value in block.items()
        if isinstance(value, str) and value not in ("", HIDDEN, mask(stored.secret.get(name, "")))
    }
    cleared = {name for name, value in block.items() if value is None}
    kept = {name: value for name, value in stored.secret.items() if name not in cleared}
    return Credentials(None, {**kept, **given})


def _masked_ses(credentials: Credentials) -> dict[str, str | int | bool | None]:
    """The endpoint is no secret, and shown only where there is one: most have never heard of it."""
    endpoint = credentials.secret.get("endpoint_url")
    return {
        "access_key_id": mask(credentials.secret.get("access_key_id", "")),
        "secret_access_key": HIDDEN,
        **({"endpoint_url": endpoint} if endpoint else {}),
    }


def _masked_scaleway(credentials: Credentials) -> dict[str, str | int | bool | None]:
    return {"api_key": HIDDEN, "project_id": credentials.secret.get("project_id", "")}


_ACCEPT: Mapping[ProviderType, Callable[[Block], Credentials]] = {
    "smtp": _accept_smtp,
    "ses": _accept_plain,
    "scaleway": _accept_plain,
}
_MERGE: Mapping[ProviderType, Callable[[Credentials, Block], Credentials]] = {
    "smtp": _merge_smtp,
    "ses": _merge_plain,
    "scaleway": _merge_plain,
}
_MASKED: Mapping[ProviderType, Callable[[Credentials], dict[str, str | int | bool | None]]] = {
    "smtp": _masked_smtp,
    "ses": _masked_ses,
    "scaleway": _masked_scaleway,
}
