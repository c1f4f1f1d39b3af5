"""A path that does not exist as it was asked for: 405 with the methods of this very path, or what was meant."""

import asyncio
from pathlib import Path

import pytest

from deploy.local.servers import NatsAddress
from tests.integration.gateway.stack import Stack, stack

DOCUMENTS: dict[str, dict[str, dict[str, object]]] = {
    "sender": {"/api/emails": {"post": {}}, "/api/emails/{email_id}/retry": {"post": {}}},
    "analytics": {"/api/emails": {"get": {}}, "/api/emails/stats": {"get": {}}, "/api/emails/{email_id}": {"get": {}}},
    "providers": {"/api/email-providers/{id}": {"get": {}, "patch": {}, "delete": {}}},
    "tracking": {"/api/emails/{email_id}/track/open": {"get": {}}},
}


async def described(made: Stack) -> None:
    """Every service shows its document, and the gateway has read them."""
    for name, service in made.services.items():
        service.document = {"openapi": "3.1.0", "paths": DOCUMENTS.get(name, {})}
    async with asyncio.timeout(10):
        while made.gateway.document.paths is None:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/api/emails", "GET, HEAD, POST"),
        ("DELETE", "/api/emails", "GET, HEAD, POST"),
        ("DELETE", "/api/emails/1", "GET, HEAD"),
        ("PATCH", "/api/emails/1", "GET, HEAD"),
        ("POST", "/api/emails/stats", "GET, HEAD"),
        ("GET", "/api/emails/1/retry", "POST"),
        ("POST", "/api/email-providers/3", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/api/users", "GET, HEAD"),
        ("PATCH", "/api/api-keys/1", "DELETE"),
        ("PUT", "/api/session", "DELETE, POST"),
        ("POST", "/api/emails/1/track/open", "GET, HEAD"),
    ],
)
async def test_another_method_of_a_path_that_exists_is_405(
    clean_nats: NatsAddress, tmp_path: Path, method: str, path: str, allow: str
) -> None:
    async with stack(clean_nats, tmp_path, reads_documents=True) as made:
        await described(made)
        answer = await made.call(method, path, body={} if method in ("POST", "PUT", "PATCH") else None)
        assert (answer.status, answer.headers["allow"]) == (405, allow)
        assert answer.json()["detail"] == f"{method} is not possible here, but {allow}."
        assert not [seen for service in made.services.values() for seen in service.seen]


@pytest.mark.parametrize(
    ("method", "path", "meant"),
    [
        ("POST", "/emails", "/api/emails"),
        ("POST", "/emails/", "/api/emails"),
        ("POST", "/api/emails/", "/api/emails"),
        ("GET", "/api//emails", "/api/emails"),
        ("GET", "/emails/stats", "/api/emails/stats"),
        ("GET", "/api/emails/1/", "/api/emails/1"),
        ("GET", "/nothing", None),
        ("GET", "/api/emails/1/2", None),
        ("GET", "/api/nothing", None),
    ],
)
async def test_a_path_that_was_meant_is_suggested(
    clean_nats: NatsAddress, tmp_path: Path, method: str, path: str, meant: str | None
) -> None:
    async with stack(clean_nats, tmp_path, reads_documents=True) as made:
        await described(made)
        answer = await made.call(method, path, body={} if method == "POST" else None)
        assert answer.status == 404
        assert answer.json().get("suggestion") == (f"Did you mean {meant}?" if meant else None)
        assert not [seen for service in made.services.values() for seen in service.seen]


async def test_a_route_of_an_upgraded_service_is_found(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path, reads_documents=True) as made:
        await described(made)
        made.services["sender"].document = {"paths": {"/api/emails/{email_id}/cancel": {"post": {}}}}
        made.gateway.document.monotonic = lambda: float("inf")
        answer = await made.call("POST", "/api/emails/1/cancel", body={})
        assert (answer.status, answer.json()["service"]) == (200, "sender")


async def test_paths_of_services_that_say_nothing_are_forwarded(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        answer = await made.call("DELETE", "/api/emails/1")
        assert (answer.status, answer.json()["service"]) == (200, "sender")
