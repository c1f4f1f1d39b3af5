"""Credential blocks: what is secret in them, what is shown of them, and how a partial block changes them.

A block is checked by its request model before it comes here; its members are plain values, absent ones left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from libs.common.errors import InvalidError
from libs.common.facts.provider import SmtpEndpoint
from libs.common.relay.kinds import Credential
from services.providers.accounts.kind_rules import require_kind
from services.providers.accounts.mask_rules import HIDDEN, mask

Block = Mapping[str, str | int | bool | None]


@dataclass(frozen=True, slots=True)
class Credentials:
    """`endpoint` is public; `secret` is what gets encrypted, empty when there is nothing to keep."""

    endpoint: SmtpEndpoint | None
    secret: Mapping[str, str] = field(repr=False)


def accept(provider_type: str, block: Block) -> Credentials:
    """The credentials of a new provider. Raises `InvalidError`."""
    return _accept_login(block) if require_kind(provider_type).has_endpoint else _accept_plain(block)


def merge(provider_type: str, stored: Credentials, block: Block) -> Credentials:
    """The credentials after a partial block: absent members, `""` and own masks keep what is stored.

    Raises `InvalidError`.
    """
    if require_kind(provider_type).has_endpoint:
        return _merge_endpoint(stored, block)
    return _merge_plain(stored, block)


def masked(provider_type: str, credentials: Credentials) -> dict[str, str | int | bool | None]:
    """The credentials as answers show them."""
    members = require_kind(provider_type).credentials
    if members is None:
        return _masked_endpoint(credentials)
    return {
        each.name: _shown(each, credentials.secret.get(each.name, ""))
        for each in members
        if not each.is_optional or credentials.secret.get(each.name)
    }


def changes(provider_type: str, before: Credentials, after: Credentials) -> list[str]:
    """The names of members that differ, never their values, for instance `smtp_credentials.password`."""
    old, new = _members(before), _members(after)
    block = require_kind(provider_type).block
    return [f"{block}.{name}" for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]


def check_endpoint(provider_type: str, before: Credentials | None, after: Credentials, *, allowed: bool) -> None:
    """A custom endpoint is set only where the operator allows it; a stored one may stay. Raises `InvalidError`."""
    kind = require_kind(provider_type)
    for each in kind.credentials or ():
        wanted = after.secret.get(each.name) if each.is_custom_endpoint else None
        if wanted is not None and not allowed and (before is None or before.secret.get(each.name) != wanted):
            raise InvalidError([(f"{kind.block}.{each.name}", "custom endpoints are not allowed here")])


def _shown(credential: Credential, value: str) -> str:
    return {"clear": value, "masked": mask(value), "hidden": HIDDEN}[credential.shown]


def _members(credentials: Credentials) -> dict[str, str | int | bool]:
    endpoint = credentials.endpoint.model_dump() if credentials.endpoint else {}
    return {**endpoint, **credentials.secret}


def _text(block: Block, name: str) -> str:
    """A member as text; `""` when absent or null."""
    value = block.get(name)
    return value if isinstance(value, str) else ""


# ---------------------------------------------------------------------------------------- a host, a port and a login


def _accept_login(block: Block) -> Credentials:
    username, password = _text(block, "username"), _text(block, "password")
    if not username.strip():
        return Credentials(_endpoint(block), {})
    if not password:
        raise InvalidError([("smtp_credentials.password", "is required when username is set")])
    return Credentials(_endpoint(block), {"username": username, "password": password})


def _merge_endpoint(stored: Credentials, block: Block) -> Credentials:
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


def _masked_endpoint(credentials: Credentials) -> dict[str, str | int | bool | None]:
    username = credentials.secret.get("username", "")
    return {
        **(credentials.endpoint.model_dump() if credentials.endpoint else {}),
        "username": mask(username) if username else "",
        "password": HIDDEN if username else None,
    }


def _endpoint(block: Block) -> SmtpEndpoint:
    return SmtpEndpoint.model_validate({name: block[name] for name in SmtpEndpoint.model_fields})


# ------------------------------------------------------------------------------------------------------------- keys


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
