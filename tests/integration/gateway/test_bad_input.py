"""What is wrong with a request is said in a problem document, whoever notices it: nothing is stored or passed on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from services.gateway.proxy import wire
from tests.integration.gateway.stack import Answer, Stack, stack

DEEP = b"[" * 50_000
CODE = "VALIDATION_FAILED"
CASES: list[tuple[str, str, Any, dict[str, str], int, str, str | None]] = [
    ("POST", "/api/api-keys", b"{", {}, 400, "VALIDATION_FAILED", "body"),
    ("POST", "/api/api-keys", b"", {}, 400, "VALIDATION_FAILED", "body"),
    ("POST", "/api/api-keys", b"[]", {}, 400, "VALIDATION_FAILED", "body"),
    ("POST", "/api/api-keys", DEEP, {}, 400, "VALIDATION_FAILED", "body"),
    ("POST", "/api/api-keys", b'{"name": "\xff"}', {}, 400, "VALIDATION_FAILED", "body"),
    ("POST", "/api/api-keys", b'{"name": "\\ud800", "role": "user"}', {}, 400, "VALIDATION_FAILED", "name"),
    ("POST", "/api/api-keys", {"role": "user"}, {}, 400, "VALIDATION_FAILED", "name"),
    ("POST", "/api/api-keys", {"name": " ", "role": "user"}, {}, 400, "VALIDATION_FAILED", "name"),
    ("POST", "/api/api-keys", {"name": "x" * 256, "role": "user"}, {}, 400, "VALIDATION_FAILED", "name"),
    ("POST", "/api/api-keys", {"name": "a\r\nb", "role": "user"}, {}, 400, "VALIDATION_FAILED", "name"),
    ("POST", "/api/api-keys", {"name": "a\0", "role": "user"}, {}, 400, "VALIDATION_FAILED", "name"),
    ("POST", "/api/api-keys", {"name": 3, "role": "user"}, {}, 400, "VALIDATION_FAILED", "name"),
    ("POST", "/api/api-keys", {"name": "x"}, {}, 400, "VALIDATION_FAILED", "scopes"),
    ("POST", "/api/api-keys", {"name": "x", "role": "user", "scopes": []}, {}, 400, "VALIDATION_FAILED", "scopes"),
    ("POST", "/api/api-keys", {"name": "x", "scopes": []}, {}, 400, "VALIDATION_FAILED", "scopes"),
    ("POST", "/api/api-keys", {"name": "x", "scopes": ["emails:fly"]}, {}, 400, "VALIDATION_FAILED", "scopes"),
    ("POST", "/api/api-keys", {"name": "x", "scopes": "emails:send"}, {}, 400, "VALIDATION_FAILED", "scopes"),
    ("POST", "/api/api-keys", {"name": "x", "role": "king"}, {}, 400, "VALIDATION_FAILED", "role"),
    ("POST", "/api/api-keys", {"name": "x", "role": "user", "x": 1}, {}, 400, "VALIDATION_FAILED", "x"),
    *(
        (
            "POST",
            "/api/api-keys",
            {"name": "x", "role": "user", "expires_at": at},
            {},
            400,
            "VALIDATION_FAILED",
            "expires_at",
        )
        for at in ("2020-01-01T00:00:00Z", "2099-01-01T00:00:00", "2099-01-01", "soon", "", 4_000_000_000, True)
    ),
    ("POST", "/api/api-keys", b"a=b", {"Content-Type": "text/plain"}, 415, "UNSUPPORTED_MEDIA_TYPE", None),
    ("POST", "/api/api-keys?x=1", {"name": "x", "role": "user"}, {}, 400, "VALIDATION_FAILED", "x"),
    ("POST", "/api/api-keys", b"x" * (1024 * 1024 + 1), {}, 413, "PAYLOAD_TOO_LARGE", None),
    ("GET", "/api/api-keys?page=0", None, {}, 400, "VALIDATION_FAILED", "page"),
    ("GET", "/api/api-keys?page=x", None, {}, 400, "VALIDATION_FAILED", "page"),
    ("GET", "/api/api-keys?page_size=101", None, {}, 400, "VALIDATION_FAILED", "page_size"),
    ("GET", "/api/api-keys?page=1&page=2", None, {}, 400, "VALIDATION_FAILED", "page"),
    ("GET", "/api/api-keys?pge=1", None, {}, 400, "VALIDATION_FAILED", "pge"),
    ("DELETE", "/api/api-keys/0", None, {}, 400, "VALIDATION_FAILED", "id"),
    ("DELETE", "/api/api-keys/x", None, {}, 400, "VALIDATION_FAILED", "id"),
    *(("DELETE", f"/api/api-keys/{id}", None, {}, 400, CODE, "id") for id in ("+1", "1_0", "1.0", "%201", "%D9%A3")),
    ("GET", "/api/api-keys?page=%2B1", None, {}, 400, "VALIDATION_FAILED", "page"),
    ("DELETE", "/api/api-keys/99999999999999999999", None, {}, 400, "VALIDATION_FAILED", "id"),
    ("DELETE", "/api/api-keys/99", None, {}, 404, "NOT_FOUND", None),
    ("GET", "/api/users/x", None, {}, 400, "VALIDATION_FAILED", "id"),
    ("POST", "/api/users", {}, {}, 405, "METHOD_NOT_ALLOWED", None),
    ("DELETE", "/api/users/1", None, {}, 405, "METHOD_NOT_ALLOWED", None),
    ("POST", "/api/session", {"email": "a"}, {}, 400, "VALIDATION_FAILED", "password"),
    ("POST", "/api/session", {"email": "a", "password": "x" * 1_025}, {}, 400, "VALIDATION_FAILED", "password"),
    ("GET", "/api/session", None, {}, 405, "METHOD_NOT_ALLOWED", None),
    ("PUT", "/api/emails", {}, {}, 405, "METHOD_NOT_ALLOWED", None),
    ("POST", "/api/me", {}, {}, 405, "METHOD_NOT_ALLOWED", None),
    ("POST", "/docs", {}, {}, 405, "METHOD_NOT_ALLOWED", None),
    ("POST", "/healthz", {}, {}, 405, "METHOD_NOT_ALLOWED", None),
    ("GET", "/api/api-keys/1/2/3", None, {}, 404, "NOT_FOUND", None),
    ("GET", "/api/nothing", None, {}, 404, "NOT_FOUND", None),
    ("GET", "/api/../metrics", None, {}, 404, "NOT_FOUND", None),
    ("GET", "/api/emails/%2e%2e/x", None, {}, 404, "NOT_FOUND", None),
    ("GET", "/metrics", None, {}, 404, "NOT_FOUND", None),
    ("GET", "/nothing", None, {}, 404, "NOT_FOUND", None),
    ("GET", "/healthz/x", None, {}, 404, "NOT_FOUND", None),
]


def check(answer: Answer, status: int, code: str, field: str | None) -> None:
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status, problem["status"], problem["error_code"]) == (status, status, code), problem
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert problem["type"] == f"https://temps.sh/probs/{code.lower()}"
    assert problem["timestamp"].endswith("Z")
    if status == 405:
        assert answer.headers["allow"]
    if field is not None:
        assert field in {error["field"] for error in problem["errors"]}, problem


async def test_every_bad_request_is_refused_by_name_and_stores_nothing(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        before = (await made.bus.stream_state("MAIL_EVENTS")).last_sequence
        for method, path, body, headers, status, code, field in CASES:
            given = {"Content-Type": "application/json"} if isinstance(body, bytes) and not headers else headers
            answer = await made.call(method, path, body=body, headers=given)
            try:
                check(answer, status, code, field)
            except AssertionError as error:
                raise AssertionError(f"{method} {path} {str(body)[:80]}: {error}") from error
        assert (await made.bus.stream_state("MAIL_EVENTS")).last_sequence == before
        assert not [seen for service in made.services.values() for seen in service.seen]


async def said(made: Stack, request: bytes) -> bytes:
    reader, writer = await made.open()
    writer.write(request)
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"NONSENSE\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nBad Header: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n", 400),
        (b"POST /api/session HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /api/session HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        (b"POST /api/session HTTP/1.1\r\nContent-Length: -5\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 40_000, 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 101 + b"\r\n", 431),
        (b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n\r\n", 431),
    ],
)
async def test_what_is_no_http_or_too_much_of_it_is_a_problem_and_the_end_of_the_connection(
    clean_nats: NatsAddress, tmp_path: Path, request_: bytes, status: int
) -> None:
    async with stack(clean_nats, tmp_path) as made, asyncio.timeout(10):
        answer = await said(made, request_)
        assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
        assert b"content-type: application/problem+json\r\n" in answer
        assert b"x-request-id: " in answer


async def test_clients_that_say_nothing_or_say_it_too_slowly_are_hung_up_on(
    clean_nats: NatsAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("HEAD_SECONDS", 0.2), ("_SWEEP", 0.05), ("LINGER_SECONDS", 0.2)):
        monkeypatch.setattr(wire, name, seconds)
    async with stack(clean_nats, tmp_path) as made, asyncio.timeout(10):
        assert await said(made, b"") == b""
        assert (await said(made, b"GET /readyz HTTP/1.1\r\nHost")).startswith(b"HTTP/1.1 408 ")
        # Refused by its declared length, and then the rest never comes.
        key = f"Authorization: Bearer {made.key}\r\n"
        big = f"POST /api/emails HTTP/1.1\r\nHost: x\r\n{key}Content-Length: 99999999\r\n\r\n"
        assert (await said(made, big.encode())).startswith(b"HTTP/1.1 413 ")
