"""What is outside `/api`: the merged description, its reader, and the way there."""

import json
import re
from pathlib import Path
from typing import Any

from deploy.local.servers import NatsAddress
from tests.integration.gateway.stack import Echo, Stack, stack

PROBLEM = {"type": "object", "title": "Problem"}


def describing(path: str, method: str, name: str, **schemas: Any) -> Any:
    document = {"paths": {path: {method: {"operationId": name}}}, "components": {"schemas": schemas}}
    body = json.dumps(document).encode()

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        status = 200 if scope["path"] == "/openapi.json" else 404
        length = str(len(body)).encode()
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", length)]})
        await send({"type": "http.response.body", "body": body})

    return app


def describe_all(made: Stack) -> None:
    made.services["providers"].then = describing("/api/email-providers", "get", "list_email_providers")
    made.services["sender"].then = describing("/api/emails", "post", "send_email")
    made.services["tracking"].then = describing("/api/emails/{id}/track/open", "get", "open_pixel")
    made.services["analytics"].then = describing("/api/emails", "get", "list_emails", Thing=PROBLEM)


async def test_the_whole_api_is_described_in_one_document(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        describe_all(made)
        answer = await made.call("GET", "/openapi.json", key=None)
        assert answer.status == 200
        document = answer.json()
        assert document["openapi"] == "3.1.0"
        assert set(document["paths"]["/api/emails"]) == {"get", "post"}
        assert document["components"]["schemas"]["Thing"] == PROBLEM
        create = document["paths"]["/api/api-keys"]["post"]
        assert (create["operationId"], create["x-required-permission"]) == ("create_api_key", "api_keys:write")
        assert document["paths"]["/api/session"]["delete"]["security"] == [{"session": []}]
        assert document["paths"]["/api/session"]["post"]["security"] == []
        for requirement in create["security"] + document["paths"]["/api/me"]["get"]["security"]:
            assert set(requirement) <= set(document["components"]["securitySchemes"])


async def test_a_service_that_never_described_itself_makes_it_503_and_one_that_did_is_remembered(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        describe_all(made)
        made.services["sender"].then = None
        answer = await made.call("GET", "/openapi.json", key=None)
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert "sender" in answer.json()["detail"]
        describe_all(made)
        assert (await made.call("GET", "/openapi.json", key=None)).status == 200
        made.services["sender"].then = describing("/api/emails", "get", "another")
        assert (await made.call("GET", "/openapi.json", key=None)).status == 200


async def test_services_that_contradict_each_other_are_found_out(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        describe_all(made)
        made.services["sender"].then = describing("/api/emails", "post", "send_email", Thing={"type": "string"})
        answer = await made.call("GET", "/openapi.json", key=None)
        assert answer.status == 503
        assert "mean different things by schemas Thing" in answer.json()["detail"]


async def test_the_documentation_needs_nothing_from_anywhere_else(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        page = await made.call("GET", "/docs", key=None)
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert (page.headers["x-content-type-options"], page.headers["x-frame-options"]) == ("nosniff", "DENY")
        addresses = re.findall(rb'(?:src|href)="([^"]+)"', page.body)
        assert len(addresses) == 4
        for address in addresses:
            found = await made.call("GET", address.decode(), key=None)
            assert (found.status, len(found.body) > 50) == (200, True), address
        assert b"<script>" not in page.body
        start = await made.call("GET", "/docs/start.js", key=None)
        assert b"/openapi.json" in start.body


async def test_until_there_is_a_console_the_doors_lead_to_the_documentation(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        for path in ("/", "/login"):
            answer = await made.call("GET", path, key=None)
            assert (answer.status, answer.headers["location"]) == (302, "/docs")
            assert (await made.call("HEAD", path, key=None)).status == 302


async def test_health_and_readiness_are_on_the_public_port_and_metrics_are_not(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        assert (await made.call("GET", "/healthz", key=None)).json() == {"status": "ok"}
        assert (await made.call("GET", "/readyz", key=None)).json() == {"status": "ready"}
        assert (await made.call("GET", "/metrics", key=None)).status == 404


async def test_without_the_inbox_its_routes_are_not_there(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        assert (await made.call("GET", "/api/local-inbox")).json()["service"] == "inbox"
    async with stack(clean_nats, tmp_path, local_inbox_url=None) as made:
        assert isinstance(made.services["inbox"], Echo)
        assert (await made.call("GET", "/api/local-inbox")).status == 404
