"""No request may hold an event loop for more than 100 ms: each route of the API is sent the worst that it may be sent.

The routes are those of the API's own description, so that a new one is tried without being named here.
"""

import json
import re
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from libs.common.web.loop_watch import LIMIT_SECONDS
from tests.e2e.client import Api
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MEGABYTE = 2**20
TRIES = 3
HELD = re.compile(r'temps_event_loop_held_seconds_(?:bucket\{le="([^"]+)"\}|(count)) ([0-9.e+]+)')
BODIES = {
    "members": b'{"x":0' + b',"aaaaaaaa":0' * 1_400_000 + b"}",
    "depth": b"[" * (19 * MEGABYTE),
    "one string": b'{"subject":"' + b"a" * (19 * MEGABYTE) + b'"}',
    "escapes": b'{"text":"' + b"\\u00e9" * (3 * MEGABYTE) + b'"}',
    "quotes": b'{"text":"' + b'\\"' * (9 * MEGABYTE) + b'"}',
    "backslashes": b'{"text":"' + b"\\\\" * (9 * MEGABYTE) + b'"}',
    "letters and quotes": b'{"text":"' + b'a\\"' * (6 * MEGABYTE) + b'"}',
    "escapes allowed": b'{"text":"' + b'\\"' * (5 * MEGABYTE - 1) + b"a" * (8 * MEGABYTE) + b'"}',
    "allowed members": b'{"x":0' + b',"a":0' * 4_900 + b"}",
    "no JSON": b"\xff" * (19 * MEGABYTE),
}
EMAIL = {"from": "a@shop.example", "to": "b@example.com", "subject": "x"}
HTML = {
    "less-than": "<" * (2 * MEGABYTE - 10),
    "svg": "<svg>" * 400_000,
    "links": '<a href="https://example.com/a/b?c=d">x</a>' * 9_000,
    "anchors": "<a>" * 690_000,
    "attributes": "<a " + "b " * 1_000_000 + ">",
    "tags of many attributes": ("<a " + "b " * 1_900 + ">") * 540,
    "references": '<a href="' + "&amp;" * 400_000 + '">',
    "umlauts": "ü" * (MEGABYTE - 10),
}


def emails() -> Iterator[tuple[str, bytes]]:
    """What a sender may really ask for, at every limit at once."""
    for name, html in HTML.items():
        yield name, json.dumps({**EMAIL, "html": html, "track_opens": True, "track_clicks": True}).encode()
    crowd = {
        **EMAIL,
        "to": [f"{'r' * 200}{number}@example.com" for number in range(50)],
        "text": "\t" * (2 * MEGABYTE - 10),
        "headers": {f"X-{number}": "ü" * 8_000 for number in range(100)},
        "metadata": {f"key{number}": "v" * 2_000 for number in range(100)},
        "tags": [{"name": "n" * 256, "value": f"{number}"} for number in range(50)],
    }
    yield "every list full", json.dumps(crowd).encode()


def over_limit(stack: Stack, ports: dict[str, int]) -> dict[str, int]:
    """How often each process's loop was held for too long so far."""
    found = {}
    for name, port in ports.items():
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = HELD.findall(answer.read().decode())
        total = next((float(value) for _, count, value in lines if count), 0.0)
        within = next((float(value) for bound, _, value in lines if bound and float(bound) == LIMIT_SECONDS), 0.0)
        found[name] = int(total - within)
    return found


def ask(stack: Stack, method: str, path: str, body: bytes | None = None) -> int:
    """The status; a connection that is closed in the middle of the body is an answer, too."""
    where = urlsplit(stack.url)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=30)
    headers = {"Authorization": f"Bearer {stack.key}", "Content-Type": "application/json"}
    try:
        connection.request(method, path, body=body, headers=headers)
        return connection.getresponse().status
    except (BrokenPipeError, ConnectionResetError):
        return 0
    finally:
        connection.close()


def requests(document: dict[str, Any]) -> Iterator[tuple[str, str, str, bytes | None]]:
    """A name, method, path and body for each of the worst inputs of each route."""
    query = "?" + "&".join(f"p{number}=x" for number in range(3_000))
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            plain = path.replace("{id}", "00000000-0000-7000-8000-000000000001").replace("{n}", "0")
            yield "query", method, plain.replace("{domain}", "x.example") + query, None
            yield "long path", method, path.replace("{id}", "9" * 20_000).replace("{domain}", "x." * 9_000), None
            if "requestBody" in operation:
                for name, body in BODIES.items():
                    yield name, method, plain, body
    for name, body in emails():
        yield f"email: {name}", "post", "/api/emails", body


def test_no_request_holds_a_loop(stack: Stack) -> None:
    settled = json.loads((stack.home / "ports.json").read_text())
    names = ("providers", "sender", "worker", "tracking", "analytics", "inbox")
    ports = {"gateway": settled["gateway-internal"], **{name: settled[name] for name in names}}
    with Api(stack.url, stack.key) as api:
        document = api.get("/openapi.json")
    guilty = []
    for name, method, path, body in requests(document):
        held: set[str] = set()
        for attempt in range(TRIES):
            before = over_limit(stack, ports)
            assert ask(stack, method.upper(), path, body) < 500 or name.startswith("email"), (
                f"{name} {method} {path[:80]}"
            )
            after = over_limit(stack, ports)
            now = {process for process in ports if after[process] > before[process]}
            held = now if attempt == 0 else held & now
            if not held:  # a busy machine is late now and then, a fault is late each time
                break
        if held:
            guilty.append(f"{name}: {method} {path[:60]} held {', '.join(sorted(held))}")
    assert guilty == []
