"""Keys and passwords of one machine: made at the first start before any process, and then kept."""

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.home import Home
from deploy.local.postgres import Passwords
from deploy.nats_users import USERS
from libs.common.apikey import new_key

KEY_BYTES = 32
KEY_RING, GATEWAY_KEY_RING = "keyring.json", "gateway-keyring.json"


@dataclass(frozen=True)
class Credentials:
    """Paths of what processes read themselves, and the values that this process needs."""

    principal_key: Path
    session_key: Path
    gateway_key_ring: Path
    key_ring: Path
    api_key: Path
    admin_password: Path
    postgres: Passwords
    nats: Mapping[str, str] = field(repr=False)
    """By user of `deploy.nats_users`."""


def ensure(home: Home) -> Credentials:
    """Writes what is missing, each file complete and 0600 from its first moment; never changes one."""

    def secret(name: str, make: Callable[[], str]) -> Path:
        return _keep(home.secrets / name, make)

    def password(name: str) -> str:
        return secret(name, lambda: secrets.token_urlsafe(24)).read_text().strip()

    return Credentials(
        principal_key=secret("principal.key", _new_signing_key),
        session_key=secret("session.key", _new_signing_key),
        gateway_key_ring=secret(GATEWAY_KEY_RING, _new_key_ring),
        key_ring=secret(KEY_RING, _new_key_ring),
        api_key=_keep(home / "api-key", new_key),
        admin_password=_keep(home / "admin-password", lambda: secrets.token_urlsafe(12)),
        nats={user: password(f"nats-{user}") for user in USERS},
        postgres=Passwords(password("postgres-superuser"), password("postgres-owner"), password("postgres-analytics")),
    )


def _new_signing_key() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def _new_key_ring() -> str:
    return json.dumps({"active": "k1", "keys": {"k1": _new_signing_key()}})


def _keep(file: Path, make: Callable[[], str]) -> Path:
    if not file.exists():
        scratch = file.with_name(file.name + ".new")
        scratch.unlink(missing_ok=True)
        scratch.touch(mode=0o600)
        scratch.write_text(make() + "\n")
        scratch.replace(file)
    return file
