"""The providers service in this process, on a real NATS, with somebody to call it."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from libs.common.facts import Actor, Envelope, decode, new_envelope
from libs.common.facts.user import UserCreated, UserState
from libs.common.jetstream.append import append
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.message import Message
from libs.common.jetstream.streams import EVENTS, SECRETS
from services.providers.__main__ import open_service
from services.providers.ports import Relays
from services.providers.settings import ProvidersSettings
from tests.support.asgi import Answer, App, ask, principal

KEY = b"p" * 32
ADMIN = frozenset(
    f"{area}:{verb}" for area in ("email_providers", "email_domains") for verb in ("read", "create", "write", "delete")
)
ADDRESS = "admin@temps.localhost"


@dataclass(frozen=True)
class Api:
    """Calls as the gateway makes them; the caller is user 1 with every scope unless told otherwise."""

    app: App
    bus: Bus

    async def __call__(self, method: str, target: str, json: object = None, **other: Any) -> Answer:
        by = principal(scopes=other.pop("scopes", ADMIN), user_id=other.pop("user_id", 1))
        return await ask(self.app, method, target, key=KEY, principal=by, json=json, **other)

    async def made(self, **other: Any) -> dict[str, Any]:
        """A new SMTP provider."""
        answer = await self("POST", "/api/email-providers", smtp(**other))
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.json
        return created

    async def facts(self, subject: str = "mail.>") -> list[Envelope]:
        """The log."""
        return [
            decode(message.data, log_subject=message.subject, stream=EVENTS, sequence=message.sequence)
            async for message in self.bus.direct_batch(EVENTS, subject)
        ]

    async def names(self, subject: str = "mail.>") -> list[str]:
        """The log's fact names, those of users aside."""
        return [fact.name for fact in await self.facts(subject) if not fact.name.startswith("user.")]

    async def secrets(self) -> list[Message]:
        """What is stored of credentials."""
        return [message async for message in self.bus.direct_batch(SECRETS, "secret.provider.>")]


def smtp(**other: Any) -> dict[str, Any]:
    """A request for an SMTP provider; `credentials` are merged into the block."""
    block = {"host": "smtp.example.com", "port": 587} | other.pop("credentials", {})
    return {"name": "Relay", "provider_type": "smtp", "smtp_credentials": block} | other


PROJECT = "11111111-2222-4333-8444-555555555555"


def ses(key: str = "good-secret-key", **other: Any) -> dict[str, Any]:
    """A request for an SES provider; `credentials` are merged into the block."""
    block = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": key} | other.pop("credentials", {})
    return {"name": "Amazon", "provider_type": "ses", "region": "eu-west-1", "ses_credentials": block} | other


def scaleway(key: str = "good-secret-key", **other: Any) -> dict[str, Any]:
    """A request for a Scaleway provider; `credentials` are merged into the block."""
    block = {"api_key": key, "project_id": PROJECT} | other.pop("credentials", {})
    return {"name": "Scaleway", "provider_type": "scaleway", "region": "fr-par", "scaleway_credentials": block} | other


def key_ring(path: Path, fill: bytes = b"r") -> Path:
    path.write_text(json.dumps({"active": "k1", "keys": {"k1": base64.b64encode(fill * 32).decode()}}))
    return path


def settings_for(nats_url: str, directory: Path, **other: Any) -> ProvidersSettings:
    signing = directory / "principal.key"
    signing.write_text(base64.b64encode(KEY).decode())
    ring = directory / "keyring.json"
    if not ring.exists():
        key_ring(ring)
    given = {"nats_url": nats_url, "principal_key_file": signing, "keyring_file": ring}
    return ProvidersSettings.model_validate(given | other)


@asynccontextmanager
async def providers(
    nats_url: str, directory: Path, *, relays: Relays | None = None, **other: Any
) -> AsyncIterator[Api]:
    """The service, ready, with user 1 known to it. `relays` stand in for those that reach providers."""
    bus = Bus(nats_url, name="test")
    await bus.start()
    assert await bus.wait_connected(5)
    try:
        await bootstrap(bus, store_bytes=64 * 2**20)
        if await bus.direct_last(EVENTS, "mail.user.1") is None:
            await append(bus, user_created())
        async with open_service(settings_for(nats_url, directory, **other), relays=relays) as app:
            api = Api(app, bus)
            await until_ready(api)
            yield api
    finally:
        await bus.close()


async def until_ready(api: Api) -> None:
    """Wait for /readyz, for as long as the test may take."""

    while (await api("GET", "/readyz")).status != 200:
        await asyncio.sleep(0.01)


def user_created() -> Envelope:
    at = datetime.now(UTC)
    state = UserState(
        id=1,
        email=ADDRESS,
        name="Admin",
        role="admin",
        is_active=True,
        epoch=0,
        credential_version=None,
        created_at=at,
        updated_at=at,
    )
    return new_envelope(UserCreated(user=state), source="test", actor=Actor(id="test", kind="system"), at=at)


def fields(answer: Answer) -> list[str]:
    """The fields that a refusal names."""
    assert answer.headers["content-type"] == "application/problem+json"
    return [error["field"] for error in answer.json["errors"]]
