"""The signed, short-lived statement of who is calling that the gateway puts on every request it forwards.

`Temps-Principal` = base64url(JSON) + "." + base64url(HMAC-SHA256), both without padding, valid for 60 seconds.
"""

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from libs.common.facts import Actor

HEADER = "temps-principal"
LIFETIME = 60.0
KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls. `kind` is `key`, `session`, `anonymous` or `system`; `exp` is Unix time in seconds."""

    id: str
    kind: str
    user_id: int | None
    scopes: frozenset[str]
    ip: str | None
    user_agent: str | None
    exp: float

    def actor(self) -> Actor:
        """The same as the audit trail keeps it."""
        return Actor(id=self.id, kind=self.kind, user_id=self.user_id, ip=self.ip, user_agent=self.user_agent)


class PrincipalError(ValueError):
    """The header is missing, forged, or has expired."""


def sign(principal: Principal, key: bytes) -> str:
    """The header's value."""
    payload = orjson.dumps(
        {
            "id": principal.id,
            "kind": principal.kind,
            "user_id": principal.user_id,
            "scopes": sorted(principal.scopes),
            "ip": principal.ip,
            "user_agent": principal.user_agent,
            "exp": principal.exp,
        }
    )
    body = base64.urlsafe_b64encode(payload).rstrip(b"=")
    mac = base64.urlsafe_b64encode(hmac.digest(key, body, hashlib.sha256)).rstrip(b"=")
    return (body + b"." + mac).decode("ascii")


def verify(value: str, key: bytes, *, now: float) -> Principal:
    """The principal, checked. `now` is Unix time. Raises `PrincipalError`."""
    body, _, mac = value.encode("latin-1").partition(b".")
    expected = base64.urlsafe_b64encode(hmac.digest(key, body, hashlib.sha256)).rstrip(b"=")
    if not hmac.compare_digest(mac, expected):
        raise PrincipalError("the principal is not signed by this gateway")
    try:
        raw: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    except (binascii.Error, ValueError) as error:
        raise PrincipalError("the principal is malformed") from error
    principal = Principal(
        id=raw["id"],
        kind=raw["kind"],
        user_id=raw["user_id"],
        scopes=frozenset(raw["scopes"]),
        ip=raw["ip"],
        user_agent=raw["user_agent"],
        exp=raw["exp"],
    )
    if principal.exp <= now:
        raise PrincipalError("the principal has expired")
    return principal


def read_key(path: Path) -> bytes:
    """The shared signing key from its file (base64). Raises ValueError when it is not 32 bytes."""
    key = base64.b64decode(path.read_text("ascii").strip(), validate=True)
    if len(key) != KEY_BYTES:
        raise ValueError(f"{path}: a signing key has {KEY_BYTES} bytes, this one {len(key)}")
    return key
