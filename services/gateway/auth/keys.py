"""Issue and revoke API keys: decided on the present state, stored as facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from libs.common import apikey
from libs.common.errors import ForbiddenError, InvalidError, NotFoundError
from libs.common.facts.key import KeyCreated, KeyDeleted, KeyState
from libs.common.web.principal import Principal
from services.gateway.auth import scope_rules as scopes
from services.gateway.ports import KeyRegister


@dataclass(frozen=True, slots=True)
class NewKey:
    """A requested key: either a role or scopes."""

    name: str
    role: str | None
    scopes: Sequence[str] | None
    expires_at: datetime | None


def create_key(asked: NewKey, key: str, *, caller: Principal, keys: KeyRegister, now: datetime) -> KeyCreated:
    """The fact of a new key that belongs to the caller's user. Raises InvalidError, ForbiddenError."""
    granted = _granted(asked)
    if asked.expires_at is not None and asked.expires_at <= now:
        raise InvalidError([("expires_at", "lies in the past")])
    beyond = sorted(granted - caller.scopes)
    if beyond:
        raise ForbiddenError(
            f"A key cannot do more than its maker: {', '.join(beyond)}.",
            extra={"required_permission": beyond[0]},
        )
    if caller.user_id is None:
        raise ForbiddenError("A key belongs to a user, and this caller is none.")
    state = KeyState(
        id=keys.next_id,
        name=asked.name,
        prefix=apikey.display_prefix(key),
        sha256=apikey.digest(key),
        user_id=caller.user_id,
        role=asked.role,
        scopes=sorted(granted),
        expires_at=asked.expires_at,
        created_at=now,
    )
    return KeyCreated(key=state)


def delete_key(key_id: int, *, keys: KeyRegister) -> KeyDeleted:
    """The fact of a revocation, with the key's last state. Raises NotFoundError."""
    state = keys.get(key_id)
    if state is None:
        raise NotFoundError(f"There is no API key {key_id}.")
    return KeyDeleted(key=state)


def _granted(asked: NewKey) -> frozenset[str]:
    if (asked.role is None) == (asked.scopes is None):
        raise InvalidError([("scopes", "give either scopes or role")])
    if asked.role is not None:
        if asked.role not in scopes.ROLES:
            raise InvalidError([("role", f"is not one of {', '.join(scopes.ROLES)}")])
        return scopes.ROLES[asked.role]
    wanted = list(asked.scopes or ())
    if not wanted:
        raise InvalidError([("scopes", "is empty: such a key could do nothing")])
    if unknown := scopes.unknown(wanted):
        raise InvalidError([("scopes", f"{scope} is not a scope") for scope in unknown])
    return frozenset(wanted)
