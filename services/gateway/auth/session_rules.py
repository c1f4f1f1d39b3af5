"""The session cookie: a signed statement, so that no gateway has to remember who is logged in."""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass

COOKIE = "temps_session"
LIFETIME = 7 * 24 * 3600
_SEPARATOR = b"."


@dataclass(frozen=True, slots=True)
class Session:
    """Ends at `expiry` (Unix seconds), or when the user's epoch is no longer `epoch`."""

    id: str
    user: int
    epoch: int
    expiry: int


def seal(session: Session, key: bytes) -> str:
    """The cookie's value."""
    payload = json.dumps([session.id, session.user, session.epoch, session.expiry], separators=(",", ":")).encode()
    body = _encoded(payload)
    return (body + _SEPARATOR + _mac(body, key)).decode("ascii")


def unseal(value: str, key: bytes, *, now: float) -> Session | None:
    """The session, None when it is forged, malformed or over. `now` is Unix time."""
    body, _, mac = value.encode("latin-1", "replace").partition(_SEPARATOR)
    if not hmac.compare_digest(mac, _mac(body, key)):
        return None
    try:
        fields = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    except (binascii.Error, ValueError):
        return None
    session = Session(*fields)
    return session if session.expiry > now else None


def cookie_of(headers: list[tuple[bytes, bytes]]) -> str | None:
    """The session cookie among the request's headers."""
    wanted = COOKIE.encode()
    for name, value in headers:
        if name == b"cookie" and wanted in value:
            for pair in value.split(b";"):
                key, _, content = pair.strip().partition(b"=")
                if key == wanted:
                    return content.strip(b'"').decode("latin-1")
    return None


def set_cookie(value: str, *, secure: bool, max_age: int) -> str:
    """The Set-Cookie header: out of reach of scripts and of other sites' forms; `max_age` 0 takes it back."""
    attributes = [f"{COOKIE}={value}", "Path=/", f"Max-Age={max_age}", "HttpOnly", "SameSite=Lax"]
    return "; ".join([*attributes, "Secure"] if secure else attributes)


def _mac(body: bytes, key: bytes) -> bytes:
    return _encoded(hmac.digest(key, b"session:" + body, hashlib.sha256))


def _encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
