"""Bytes as clients really send them: upgrades that nobody asked us for, half-closed connections, broken framing."""

import asyncio
import json
import logging
import subprocess
from pathlib import Path

import pytest

from deploy.local.servers import NatsAddress
from libs.common.web.clients import GONE
from tests.integration.gateway.stack import Stack, stack
from tests.support.programs import program

H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
WEBSOCKET = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n"
OTHER = "Connection: keep-alive, upgrade\r\nUpgrade: TLS/1.0\r\n"
CHUNKED = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"


def post(made: Stack, *lines: str, host: str = "Host: x\r\n") -> bytes:
    more = "".join(f"{line}\r\n" for line in lines)
    return f"POST /api/emails HTTP/1.1\r\n{host}Authorization: Bearer {made.key}\r\n{more}\r\n".encode()


async def exchange(made: Stack, *pieces: bytes, half_close: bool = False) -> bytes:
    """Everything that is answered until the connection ends."""
    reader, writer = await made.open()
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)
    if half_close:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("upgrade", [H2C, WEBSOCKET, OTHER], ids=["h2c", "websocket", "tls"])
@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
async def test_an_upgrade_is_ignored_and_the_body_arrives(
    clean_nats: NatsAddress, tmp_path: Path, upgrade: str, framing: str
) -> None:
    line, body, size = {
        "length": ("Content-Length: 11", b"hello world", 11),
        "chunked": ("Transfer-Encoding: chunked", CHUNKED, 11),
        "none": ("X: y", b"", 0),
    }[framing]
    async with stack(clean_nats, tmp_path) as made, asyncio.timeout(10):
        request = post(made, *upgrade.removesuffix("\r\n").split("\r\n"), line)
        follow = post(made, "Content-Length: 2", "Connection: close") + b"{}"
        answer = await exchange(made, request + body, follow)
        assert answer.count(b"HTTP/1.1 200 OK") == 2
        assert [seen.body for seen in made.services["sender"].seen] == [body and b"hello world", b"{}"]
        assert json.dumps({"service": "sender", "size": size}).encode() in answer
        assert "upgrade" not in made.services["sender"].seen[0].headers


async def test_an_upgrade_arrives_in_pieces_as_well(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made, asyncio.timeout(10):
        request = post(made, *H2C.removesuffix("\r\n").split("\r\n"), "Connection: close", "Content-Length: 11")
        pieces = [bytes([octet]) for octet in request + b"hello world"]
        answer = await exchange(made, *pieces)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert made.services["sender"].seen[0].body == b"hello world"


JAVA = """
import java.net.URI;
import java.net.http.*;
public class Client {
    public static void main(String[] given) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (int i = 0; i < 3; i++) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(given[0] + "/api/emails"))
                .header("Authorization", "Bearer " + given[1]).header("Content-Type", "application/json")
                .timeout(java.time.Duration.ofSeconds(10))
                .POST(HttpRequest.BodyPublishers.ofString("{\\"n\\": " + i + "}")).build();
            HttpResponse<String> answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.body());
        }
    }
}
"""


async def test_the_default_client_of_java_gets_its_answers(clean_nats: NatsAddress, tmp_path: Path) -> None:
    java = program("java", "its default HTTP client asks for h2c with every request")
    source = tmp_path / "Client.java"
    source.write_text(JAVA)
    async with stack(clean_nats, tmp_path) as made:
        command = [java, "-Xshare:auto", "-XX:TieredStopAtLevel=1", str(source), made.url, made.key]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=False)
        assert done.stdout.splitlines() == ['200 {"service": "sender", "size": 8}'] * 3, done.stderr
        assert [seen.body for seen in made.services["sender"].seen] == [b'{"n": 0}', b'{"n": 1}', b'{"n": 2}']


@pytest.mark.parametrize("path", ["/api/emails", "/readyz", "/api/me", "/docs"])
async def test_a_client_that_closes_its_side_gets_its_answer(
    clean_nats: NatsAddress, tmp_path: Path, path: str
) -> None:
    async with stack(clean_nats, tmp_path) as made, asyncio.timeout(10):
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {made.key}\r\n\r\n".encode()
        answer = await exchange(made, request, half_close=True)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_half_closed_client_gets_the_answers_to_all_it_asked(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made, asyncio.timeout(10):
        one = post(made, "Content-Length: 2") + b"{}"
        answer = await exchange(made, one * 3, half_close=True)
        assert answer.count(b"HTTP/1.1 200 OK") == 3
        assert len(made.services["sender"].seen) == 3


@pytest.mark.parametrize(
    ("host", "lines", "body", "words"),
    [
        ("", (), b"", b"needs the header Host"),
        ("Host: a\r\nHost: a\r\n", (), b"", b"Host is there more than once"),
        ("Host: a b\r\n", (), b"", b"not a host name"),
        ("Host: a/b\r\n", (), b"", b"not a host name"),
        ("Host: x\r\n", ("Transfer-Encoding: gzip, chunked",), CHUNKED, b"must be chunked, once and alone"),
        ("Host: x\r\n", ("Transfer-Encoding: identity",), b"", b"must be chunked"),
        ("Host: x\r\n", ("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), CHUNKED, b"Transfer-Encoding"),
        ("Host: x\r\n", ("Transfer-Encoding: chunked", "Content-Length: 5"), CHUNKED, b"not HTTP/1.1"),
        ("Host: x\r\n", ("Content-Length: 5", "Content-Length: 5"), b"hello", b"not HTTP/1.1"),
        ("Host: x\r\n", ("Transfer-Encoding: chunked",), b"zz\r\nhello\r\n", b"chunk size"),
        ("Host: x\r\n", ("Transfer-Encoding: chunked",), b"5\r\nhelloXX0\r\n\r\n", b"not HTTP/1.1"),
        (
            "Host: x\r\n",
            ("Upgrade: h2c", "Connection: Upgrade", "Transfer-Encoding: chunked"),
            b"zz\r\n",
            b"chunk size",
        ),
    ],
)
async def test_broken_framing_is_refused_in_words(
    clean_nats: NatsAddress, tmp_path: Path, host: str, lines: tuple[str, ...], body: bytes, words: bytes
) -> None:
    async with stack(clean_nats, tmp_path) as made, asyncio.timeout(10):
        answer = await exchange(made, post(made, *lines, host=host), body)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert b"content-type: application/problem+json\r\n" in answer
        assert words in answer
        assert answer.count(b"HTTP/1.1 400") == 1
        assert made.services["sender"].seen == []


async def test_http_2_without_asking_is_refused(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made, asyncio.timeout(10):
        answer = await exchange(made, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 ")


async def test_clients_that_leave_amid_a_body_are_counted_and_no_error(
    clean_nats: NatsAddress, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    many = 50
    async with stack(clean_nats, tmp_path) as made, asyncio.timeout(20):
        key = f"Authorization: Bearer {made.key}\r\nContent-Type: application/json\r\n"

        async def leave(path: str) -> None:
            _, writer = await made.open()
            writer.write(f"POST {path} HTTP/1.1\r\nHost: x\r\n{key}Content-Length: 1000\r\n\r\n{{".encode())
            await writer.drain()
            writer.transport.abort()

        before = gone()
        with caplog.at_level(logging.INFO):
            await asyncio.gather(*(leave(path) for path in ("/api/emails", "/api/api-keys") for _ in range(many)))
            while gone() - before < 2 * many:
                await asyncio.sleep(0.02)
        assert gone() - before == 2 * many
        assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def gone() -> int:
    """The metric of the process that this test runs in."""
    return int(sum(sample.value for metric in GONE.collect() for sample in metric.samples if "_total" in sample.name))
