"""Another user of the machine (uid 65534) beside a running system: no mail, fact or secret is his to read or write."""

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.client import Api, until
from tests.e2e.stack import Stack, running

NOBODY = 65534
WORD = f"word-{uuid4().hex}"
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system with mail in it, in a folder that everybody may enter: the home alone keeps the other user out."""
    if os.geteuid() != 0:
        reason = "only root can become another user"
        if os.environ.get("CI") or os.environ.get("TEMPS_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("second")
    for above in (folder, *folder.parents):
        if above.owner() == "root" and above != Path("/"):
            above.chmod(above.stat().st_mode | 0o055)
    with running(folder / "local") as system:
        with Api(system.url, system.key) as api:
            body = {"from": "a@shop.example", "to": "b@example.com", "subject": WORD, "text": WORD}
            sent = api.post("/api/emails", body)
            until(lambda: api.get(f"/api/emails/{sent['id']}"), lambda seen: seen["status"] == "captured", seconds=10)
        yield system


def as_nobody(look: Callable[[], Any]) -> Any:
    """What `look` returns when another user does it: in a child of this process, whose uid is really changed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, json.dumps(look()).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0, "the other user's look failed"
    return json.loads(said)


def readable(folder: str) -> list[str]:
    """Every file below a folder that can be opened, and every folder that can be listed."""
    found = [folder] if os.access(folder, os.R_OK) else []
    for where, folders, names in os.walk(folder):
        found += [path for each in folders if os.access(path := f"{where}/{each}", os.R_OK)]
        found += [path for each in names if os.access(path := f"{where}/{each}", os.R_OK)]
    return found


def said_to(port: int, words: bytes) -> str:
    """What a server answers to these bytes within a second of silence."""
    answer = b""
    with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
        connection.sendall(words)
        try:
            while more := connection.recv(65536):
                answer += more
        except TimeoutError:
            pass
    return answer.decode("utf-8", "replace")


def http_status(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")


def startup(role: str) -> bytes:
    """Postgres' first message (protocol 3.0)."""
    body = b"\x00\x03\x00\x00" + b"".join(f"{part}\0".encode() for part in ("user", role, "database", "temps")) + b"\0"
    return (len(body) + 4).to_bytes(4, "big") + body


def test_another_user_can_read_no_file_of_the_home(stack: Stack) -> None:
    home = stack.home.path
    assert home.name in as_nobody(lambda: [each.name for each in home.parent.iterdir()]), (
        "what is above the home is open to everybody"
    )
    assert as_nobody(lambda: readable(str(home))) == []


def test_another_user_gets_nothing_from_nats(stack: Stack) -> None:
    port = stack.parts()["nats"]["port"]
    words = (
        b'CONNECT {"verbose":false}\r\nSUB > 1\r\nSUB _INBOX.x 2\r\n'
        b'PUB $JS.API.STREAM.MSG.GET.MAIL_CONTENT _INBOX.x 9\r\n{"seq":1}\r\n'
        b"PUB mail.key.9 2\r\n{}\r\nPING\r\n"
    )
    answer = as_nobody(lambda: said_to(port, words))
    assert "Authorization Violation" in answer
    assert "MSG " not in answer
    assert "PONG" not in answer
    with Api(stack.url, stack.key) as api:
        assert api.get("/api/api-keys")["total"] == 1


@pytest.mark.parametrize("role", ["postgres", "temps_owner", "temps_analytics"])
def test_another_user_gets_nothing_from_postgres(stack: Stack, role: str) -> None:
    port = stack.parts()["postgres"]["port"]
    answer = as_nobody(lambda: said_to(port, startup(role)))
    # "R", length, 10: SASL is wanted (SCRAM). No "R" with 0, which would be a log-in without a password.
    assert answer.encode("latin-1", "replace")[:9] == b"R" + answer.encode("latin-1", "replace")[1:5] + b"\0\0\0\x0a"
    assert "SCRAM-SHA-256" in answer


def test_another_user_gets_no_mail_from_any_http_port(stack: Stack) -> None:
    ports = {name: part["port"] for name, part in stack.parts().items() if part["port"]}
    paths = ("/api/emails", "/api/local-inbox", "/api/local-inbox/1", "/api/local-inbox/1/raw", "/api/email-providers")
    urls = [
        f"http://127.0.0.1:{ports[name]}{path}" for name in ports if name not in ("nats", "postgres") for path in paths
    ]
    answers = as_nobody(lambda: [http_status(url) for url in urls])
    assert {status for status, _ in answers} <= {401, 404}
    assert not [url for url, (_, text) in zip(urls, answers, strict=True) if WORD in text]


def test_nats_tells_another_user_no_mail_and_no_password(stack: Stack) -> None:
    monitor = json.loads((stack.home / "ports.json").read_text())["nats-monitor"]
    paths = (
        "/varz",
        "/connz?subs=1&auth=1",
        "/jsz?streams=1&consumers=1&config=1",
        "/subsz?subs=1",
        "/routez",
        "/accountz",
    )
    answers = as_nobody(lambda: [http_status(f"http://127.0.0.1:{monitor}{path}")[1] for path in paths])
    secrets = [file.read_text().strip() for file in (stack.home / "secrets").iterdir()]
    for answer in answers:
        assert WORD not in answer
        assert not [secret for secret in secrets if secret in answer]


def test_another_user_reads_no_secret_in_proc(stack: Stack) -> None:
    pids = [part["pid"] for part in stack.parts().values() if part["pid"]] + [stack.process.pid]

    def look() -> list[str]:
        seen = []
        for pid in pids:
            for name in ("environ", "cmdline"):
                try:
                    seen.append(Path(f"/proc/{pid}/{name}").read_text(errors="replace"))
                except OSError:
                    continue
        return seen

    seen = as_nobody(look)
    secrets = [file.read_text().strip() for file in (stack.home / "secrets").iterdir()]
    secrets += [(stack.home / name).read_text().strip() for name in ("api-key", "admin-password")]
    assert len(seen) == len(pids), "the command lines, and no environment"
    assert not [secret for secret in secrets for text in seen if secret in text]
