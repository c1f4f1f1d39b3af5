"""The proxy in front of services that answer, stream, hang, break and are not there."""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from tests.integration.gateway.stack import MEGABYTE, Answer, Stack, stack

LIMIT = 20 * MEGABYTE


def head(made: Stack, method: str, path: str, *lines: str) -> bytes:
    start = [f"{method} {path} HTTP/1.1", "Host: x", f"Authorization: Bearer {made.key}", *lines]
    return ("\r\n".join(start) + "\r\n\r\n").encode()


def refusing_url() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


async def raw_service(conversation: Any) -> asyncio.Server:
    return await asyncio.start_server(conversation, "127.0.0.1", 0)


def url_of(server: asyncio.Server) -> str:
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def is_problem(answer: Answer, status: int, slug: str) -> bool:
    if answer.headers["content-type"] != "application/problem+json":
        return False
    body = answer.json()
    wanted = (status, status, slug.upper(), f"https://temps.sh/probs/{slug}", answer.headers["x-request-id"])
    return (answer.status, body["status"], body["error_code"], body["type"], body["request_id"]) == wanted


async def test_a_request_reaches_its_service_signed_and_its_answer_comes_back(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        sent = {"X-Request-Id": "abc.1", "traceparent": "00-1-2-01", "User-Agent": "shop/1"}
        answer = await made.call("POST", "/api/emails?x=%41&y", body={"a": 1}, headers=sent)
        assert (answer.status, answer.json()) == (200, {"service": "sender", "size": 8})
        (seen,) = made.services["sender"].seen
        assert (seen.method, seen.path, seen.query, seen.body) == ("POST", "/api/emails", b"x=%41&y", b'{"a": 1}')
        assert answer.headers["x-request-id"] == seen.headers["x-request-id"] == "abc.1"
        assert seen.headers["traceparent"] == "00-1-2-01"
        principal = seen.principal
        assert (principal.id, principal.kind, principal.user_id) == ("key/1", "key", 1)
        assert (principal.ip, principal.user_agent) == ("127.0.0.1", "shop/1")
        assert "emails:send" in principal.scopes


async def test_a_callers_own_temps_headers_and_secrets_never_reach_a_service(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        made.services["analytics"].headers = [(b"temps-position", b"email=7"), (b"temps-secret", b"x")]
        spoofed = {
            "Temps-Principal": "forged",
            "temps-position": "key=999999",
            "TEMPS-X": "y",
            "X-Forwarded-For": "1.2.3.4",
            "Forwarded": "for=1.2.3.4",
            "Cookie": "temps_session=stolen",
            "Connection": "x-hop",
            "X-Hop": "1",
        }
        answer = await made.call("GET", "/api/emails", headers=spoofed)
        seen = made.services["analytics"].seen[0]
        assert seen.principal.id == "key/1"
        assert seen.headers["x-forwarded-for"] == "127.0.0.1"
        assert not {"temps-x", "temps-position", "authorization", "cookie", "forwarded", "x-hop"} & set(seen.headers)
        assert not [name for name in answer.headers if name.startswith("temps-")]


async def test_the_highest_position_of_each_set_goes_with_every_later_request(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        for position in (b"provider=12", b"provider=9,domain=4"):
            made.services["providers"].headers = [(b"temps-position", position)]
            await made.call("POST", "/api/email-providers", body={})
        await made.call("POST", "/api/emails", body={})
        assert made.services["sender"].seen[0].headers["temps-position"] == "provider=12,domain=4"
        made.services["providers"].seen.clear()
        await made.call("GET", "/api/emails/x/track/open", key=None)
        assert made.services["tracking"].seen[0].headers["temps-position"] == "provider=12,domain=4"


async def test_public_routes_carry_an_anonymous_principal_and_head_stays_head(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        headers = {"User-Agent": "Mail/1"}
        answer = await made.call("HEAD", "/api/emails/x/track/open", key=None, headers=headers)
        assert (answer.status, answer.body) == (200, b"")
        seen = made.services["tracking"].seen[0]
        assert (seen.method, seen.principal.kind, seen.principal.scopes) == ("HEAD", "anonymous", frozenset())
        assert (seen.principal.ip, seen.principal.user_agent) == ("127.0.0.1", "Mail/1")


async def test_head_on_other_routes_is_asked_as_get_and_answered_without_a_body(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        answer = await made.call("HEAD", "/api/emails")
        assert (answer.status, answer.body) == (200, b"")
        assert int(answer.headers["content-length"]) > 0
        assert made.services["analytics"].seen[0].method == "GET"
        assert (await made.call("HEAD", "/api/me")).status == 200


async def test_bodies_stream_both_ways_without_waiting_for_their_end(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def upper(_scope: Any, receive: Any, send: Any) -> None:
        """Answers each part of the body before the next one comes."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        more = True
        while more:
            message = await receive()
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message["body"].upper(), "more_body": more})

    async with stack(clean_nats, tmp_path) as made, asyncio.timeout(20):
        made.services["sender"].then = upper
        reader, writer = await made.open()
        writer.write(head(made, "POST", "/api/emails", "Transfer-Encoding: chunked"))
        writer.write(b"3\r\nabc\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        assert await reader.readuntil(b"ABC\r\n") == b"3\r\nABC\r\n"
        writer.write(b"2\r\nde\r\n")
        assert await reader.readuntil(b"DE\r\n") == b"2\r\nDE\r\n"
        writer.write(b"0\r\n\r\n")
        assert await reader.readuntil(b"0\r\n\r\n") == b"0\r\n\r\n"
        writer.close()


async def test_twenty_megabytes_pass_and_one_byte_more_is_413_however_it_is_framed(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        whole = await made.call("POST", "/api/emails", body=b"x" * LIMIT)
        assert whole.json() == {"service": "sender", "size": LIMIT}
        over = await made.call("POST", "/api/emails", body=b"x" * (LIMIT + 1))
        assert is_problem(over, 413, "payload_too_large")
        made.services["sender"].seen.clear()
        reader, writer = await made.open()
        writer.write(head(made, "POST", "/api/emails", "Transfer-Encoding: chunked"))
        for _ in range(21):
            writer.write(b"%x\r\n%b\r\n" % (MEGABYTE, b"x" * MEGABYTE))
        assert (await reader.readline()).startswith(b"HTTP/1.1 413")
        writer.close()
        assert made.services["sender"].seen == []


async def test_a_service_that_is_not_there_is_502_with_retry_after(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path, sender_url=refusing_url()) as made:
        answer = await made.call("POST", "/api/emails", body={})
        assert is_problem(answer, 502, "bad_gateway")
        assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\nx\r\n"])
async def test_a_service_that_breaks_before_its_answer_is_502(
    clean_nats: NatsAddress, tmp_path: Path, said: bytes
) -> None:
    asked = 0

    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await reader.readuntil(b"\r\n\r\n")
        asked += 1
        writer.write(said)
        writer.close()

    server = await raw_service(break_off)
    async with server, stack(clean_nats, tmp_path, sender_url=url_of(server)) as made:
        answer = await made.call("POST", "/api/emails", body={})
        assert is_problem(answer, 502, "bad_gateway")
        assert "it may have been done, or not" in answer.json()["detail"]
        assert asked == 1


@pytest.mark.parametrize(("method", "status", "asked"), [("GET", 200, 3), ("POST", 502, 2)])
async def test_only_safe_requests_are_repeated_when_a_kept_connection_turns_out_closed(
    clean_nats: NatsAddress, tmp_path: Path, method: str, status: int, asked: int
) -> None:
    heads: list[bytes] = []

    async def once_per_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        with contextlib.suppress(asyncio.IncompleteReadError):
            heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await raw_service(once_per_connection)
    url = url_of(server)
    async with server, stack(clean_nats, tmp_path, providers_url=url) as made:
        assert (await made.call("GET", "/api/email-providers")).status == 200
        assert (await made.call(method, "/api/email-providers")).status == status
        assert len(heads) == asked


async def test_a_service_that_hangs_is_504_and_sees_its_connection_closed(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    closed = asyncio.Event()

    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        closed.set()
        writer.close()

    server = await raw_service(hang)
    async with server, stack(clean_nats, tmp_path, sender_url=url_of(server), upstream_timeout=0.3) as made:
        answer = await made.call("POST", "/api/emails")
        assert is_problem(answer, 504, "gateway_timeout")
        assert answer.headers["retry-after"] == "1"
        async with asyncio.timeout(5):
            await closed.wait()


async def test_a_body_that_is_cut_cuts_the_clients_connection(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await writer.drain()
        writer.close()

    server = await raw_service(cut)
    async with server, stack(clean_nats, tmp_path, sender_url=url_of(server)) as made, asyncio.timeout(10):
        reader, writer = await made.open()
        writer.write(head(made, "POST", "/api/emails", "Content-Length: 0"))
        whole = await reader.read()
        assert whole.endswith(b"3\r\nabc\r\n")
        writer.close()


async def test_a_client_that_leaves_takes_its_request_with_it(clean_nats: NatsAddress, tmp_path: Path) -> None:
    begun, closed = asyncio.Event(), asyncio.Event()

    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
        begun.set()
        await reader.read()
        closed.set()
        writer.close()

    server = await raw_service(stream)
    async with server, stack(clean_nats, tmp_path, sender_url=url_of(server)) as made, asyncio.timeout(10):
        _, writer = await made.open()
        writer.write(head(made, "POST", "/api/emails", "Content-Length: 0"))
        await begun.wait()
        writer.close()
        await closed.wait()
        assert made.gateway.services["sender"].in_flight == 0


async def test_a_client_that_leaves_in_the_middle_of_its_body_takes_its_request_with_it(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    begun, got = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        begun.set()
        try:
            got.set_result(await reader.read())
        except OSError:
            got.set_result(b"")
        writer.close()

    server = await raw_service(take)
    async with server, stack(clean_nats, tmp_path, sender_url=url_of(server)) as made, asyncio.timeout(10):
        _, writer = await made.open()
        writer.write(head(made, "POST", "/api/emails", "Content-Length: 100") + b"abc")
        await begun.wait()
        writer.close()
        assert await got in (b"abc", b"")


async def test_a_body_that_does_not_come_is_408(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path, body_timeout=0.3) as made, asyncio.timeout(10):
        for path, sent in (("/api/emails", b""), ("/api/emails", b"abc"), ("/api/session", b"")):
            reader, writer = await made.open()
            writer.write(head(made, "POST", path, "Content-Length: 10", "Content-Type: application/json") + sent)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 408"), (path, sent)
            writer.close()
        assert made.services["sender"].seen == []


async def test_an_early_refusal_reaches_a_client_that_is_still_sending(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 415 No\r\ncontent-length: 2\r\n\r\nno")
        await writer.drain()
        await reader.read()
        writer.close()

    server = await raw_service(refuse)
    async with server, stack(clean_nats, tmp_path, sender_url=url_of(server)) as made, asyncio.timeout(10):
        reader, writer = await made.open()
        writer.write(head(made, "POST", "/api/emails", "Content-Length: 1000") + b"abc")
        assert (await reader.readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 415")
        writer.close()


async def test_a_service_with_too_much_to_do_is_503_at_once_and_the_others_go_on(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        made.gateway.services["sender"].in_flight = 512
        answer = await made.call("POST", "/api/emails", body={})
        assert is_problem(answer, 503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        assert (await made.call("GET", "/api/emails")).status == 200


async def test_connections_to_a_service_are_kept(clean_nats: NatsAddress, tmp_path: Path) -> None:
    peers: set[Any] = set()

    async def note(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        peers.add(scope["client"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with stack(clean_nats, tmp_path) as made:
        made.services["providers"].then = note
        for _ in range(10):
            assert (await made.call("GET", "/api/email-providers")).status == 204
        assert len(peers) == 1


async def test_trusted_proxies_say_where_a_request_came_from(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path, trusted_proxies="127.0.0.0/8, ::1") as made:
        await made.call("GET", "/api/emails", headers={"X-Forwarded-For": "1.2.3.4, 198.51.100.7"})
        seen = made.services["analytics"].seen[0]
        assert (seen.headers["x-forwarded-for"], seen.principal.ip) == ("198.51.100.7", "198.51.100.7")
