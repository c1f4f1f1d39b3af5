"""The inbox as its own process: SMTP in, HTTP out."""

import base64
import json
import os
import secrets
import smtplib
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from deploy.local.parts import http_ready
from deploy.local.ports import free_port
from libs.common.web.principal import HEADER, Principal, sign


@dataclass
class Inbox:
    process: subprocess.Popen[bytes]
    smtp_port: int
    http_port: int
    key: bytes

    def get(self, path: str, scopes: frozenset[str] = frozenset({"emails:read"})) -> tuple[int, str, bytes]:
        principal = Principal("1", "key", 1, scopes, None, None, time.time() + 60)
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.http_port}{path}", headers={HEADER: sign(principal, self.key)}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers["content-type"], answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["content-type"], error.read()

    def json(self, path: str) -> Any:
        status, content_type, body = self.get(path)
        assert (status, content_type) == (200, "application/json"), body
        return json.loads(body)

    def smtp(self) -> smtplib.SMTP:
        return smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=5)


@contextmanager
def running(home: Path) -> Iterator[Inbox]:
    key = secrets.token_bytes(32)
    (home / "key").write_text(base64.b64encode(key).decode() + "\n")
    smtp_port = free_port()
    http_port = free_port([smtp_port])
    settings = {
        "TEMPS_NATS_URL": "nats://127.0.0.1:1",  # the inbox never speaks to it
        "TEMPS_HTTP_PORT": str(http_port),
        "TEMPS_PRINCIPAL_KEY_FILE": str(home / "key"),
        "TEMPS_INBOX_SMTP_PORT": str(smtp_port),
        "TEMPS_INBOX_DIR": str(home / "inbox"),
    }
    process = subprocess.Popen([sys.executable, "-m", "deploy.local.inbox"], env={**os.environ, **settings})
    try:
        deadline = time.monotonic() + 20
        while http_ready(http_port)(process.pid) is not None:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield Inbox(process, smtp_port, http_port, key)
    finally:
        process.terminate()
        assert process.wait(10) in {0, -9}  # a test may have killed it


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with running(tmp_path) as each:
        yield each


@pytest.fixture(scope="module")
def empty_inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """For tests that leave nothing behind."""
    with running(tmp_path_factory.mktemp("inbox")) as each:
        yield each


def mail(number: int = 1, subject: str = "Hi") -> bytes:
    return f"Message-ID: <{number}@x>\r\nSubject: {subject}\r\nContent-Type: text/html\r\n\r\n.<p>ok\r\n".encode()


def test_what_was_sent_is_listed_and_shown_byte_for_byte(inbox: Inbox) -> None:
    with inbox.smtp() as client:
        client.sendmail("a@example.com", ["one@example.org", "two@example.org"], mail(1, "First"))
        client.sendmail("a@example.com", ["two@example.org"], mail(2, "Second"))
    page = inbox.json("/api/local-inbox?page_size=1")
    assert (page["total"], page["page"], page["page_size"]) == (2, 1, 1)
    assert page["data"][0]["subject"] == "Second"
    only = inbox.json("/api/local-inbox?to=one@example.org")["data"]
    assert [(each["mail_from"], each["rcpt_to"], each["message_id"]) for each in only] == [
        ("a@example.com", ["one@example.org", "two@example.org"], "<1@x>")
    ]
    one = inbox.json(f"/api/local-inbox/{only[0]['id']}")
    assert one["html"] == ".<p>ok\r\n"
    assert one["text"] is None
    assert one["headers"]["Subject"] == "First"
    assert inbox.get(f"/api/local-inbox/{only[0]['id']}/raw") == (200, "message/rfc822", mail(1, "First"))


def test_bounced_is_refused_at_rcpt_and_the_others_still_get_it(inbox: Inbox) -> None:
    with inbox.smtp() as client:
        refused = client.sendmail("a@example.com", ["bounced@any.example", "b@example.org"], mail())
        assert refused == {"bounced@any.example": (550, b"5.1.1 There is no such mailbox here")}
        assert inbox.json("/api/local-inbox")["data"][0]["rcpt_to"] == ["b@example.org"]


def test_deferred_gets_a_451_the_first_time_only_and_only_then_is_kept(inbox: Inbox) -> None:
    with inbox.smtp() as client:
        for number in (1, 2):
            with pytest.raises(smtplib.SMTPDataError) as refusal:
                client.sendmail("a@example.com", ["deferred@example.org"], mail(number))
            assert refusal.value.smtp_code == 451
        assert inbox.json("/api/local-inbox")["total"] == 0
        client.sendmail("a@example.com", ["deferred@example.org"], mail(1))
    assert [each["message_id"] for each in inbox.json("/api/local-inbox")["data"]] == ["<1@x>"]


def test_unknown_drops_the_line_after_the_dot_once_and_keeps_the_mail_each_time(inbox: Inbox) -> None:
    with inbox.smtp() as client, pytest.raises(smtplib.SMTPServerDisconnected):
        client.sendmail("a@example.com", ["unknown@example.org"], mail())
    assert inbox.json("/api/local-inbox")["total"] == 1
    with inbox.smtp() as client:
        client.sendmail("a@example.com", ["unknown@example.org"], mail())
    assert inbox.json("/api/local-inbox")["total"] == 2


def test_a_killed_inbox_shows_what_it_had_taken(tmp_path: Path) -> None:
    with running(tmp_path) as first, first.smtp() as client:
        client.sendmail("a@example.com", ["b@example.org"], mail())
        before = first.json("/api/local-inbox")
        assert before["total"] == 1
        first.process.kill()
        first.process.wait()
    with running(tmp_path) as second:
        assert second.json("/api/local-inbox") == before


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/api/local-inbox?page=0", 400, "page"),
        ("/api/local-inbox?page_size=101", 400, "page_size"),
        ("/api/local-inbox?colour=red", 400, "colour"),
        ("/api/local-inbox/one", 400, "id"),
        ("/api/local-inbox/7", 404, None),
        ("/api/local-inbox/7/raw", 404, None),
        ("/api/local-outbox", 404, None),
    ],
)
def test_bad_requests_are_problem_documents_that_name_the_field(
    empty_inbox: Inbox, path: str, status: int, field: str | None
) -> None:
    answered, content_type, body = empty_inbox.get(path)
    assert (answered, content_type) == (status, "application/problem+json")
    problem = json.loads(body)
    assert [each["field"] for each in problem.get("errors") or []] == ([field] if field else [])


def test_reading_needs_the_gateway_and_the_scope(empty_inbox: Inbox) -> None:
    for path in ("/api/local-inbox", "/api/local-inbox/1", "/api/local-inbox/1/raw"):
        status, _, body = empty_inbox.get(path, frozenset({"emails:send"}))
        assert (status, json.loads(body)["required_permission"]) == (403, "emails:read")
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"http://127.0.0.1:{empty_inbox.http_port}{path}", timeout=5)
        with refusal.value as answer:
            assert answer.code == 401
