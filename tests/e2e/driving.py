"""A whole API driven with invented secrets: every place that takes one, right and wrong, and every page afterwards."""

import asyncio
import base64
import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from libs.common.facts import new_envelope
from libs.common.facts.domain import DomainCreated
from libs.common.jetstream.append import append
from libs.common.jetstream.bus import Bus
from tests.e2e.client import Answer, Api, until
from tests.support.canaries import Canaries
from tests.support.echoing import EchoingHttp, EchoingRelay
from tests.support.sending import ACTOR, domain_state

RELAYS: Mapping[str, Mapping[str, str]] = {
    "auth-refused": {"AUTH": "535"},
    "auth-not-now": {"AUTH": "454"},
    "auth-nonsense": {"AUTH": "999"},
    "mail-refused": {"MAIL": "530"},
    "recipient-refused": {"RCPT": "550"},
    "recipient-not-now": {"RCPT": "451"},
    "data-refused": {"DATA": "554"},
    "message-refused": {"dot": "554"},
    "answer-nonsense": {"dot": "hello"},
    "taken": {},
}


class Recorded(Api):
    """Keeps every answer; `may_show` names a secret that the answers of this moment are meant to hold."""

    def __init__(self, url: str, key: str) -> None:
        super().__init__(url, key)
        self.answers: list[tuple[str, bytes, str | None]] = []
        self.may_show: str | None = None

    def request(self, method: str, path: str, *arguments: Any, **named: Any) -> Answer:
        answer = super().request(method, path, *arguments, **named)
        self.answers.append((f"{method} {path}", f"{answer.headers}".encode() + answer.body, self.may_show))
        return answer

    @contextlib.contextmanager
    def showing(self, name: str) -> Iterator[None]:
        self.may_show = name
        try:
            yield
        finally:
            self.may_show = None


@dataclass
class Driven:
    """What was made while everything was called, and what must not be found."""

    api: Recorded
    canaries: Canaries
    secrets: dict[str, str] = field(default_factory=dict)
    """By name; secrets that the system itself made."""
    emails: list[str] = field(default_factory=list)
    control: str = field(default_factory=lambda: f"control-{uuid4()}")
    """What is no secret and has to be found wherever there is something to be found."""

    def refused(self, method: str, path: str, body: Any, **named: Any) -> None:
        answer = self.api.request(method, path, body, **named)
        assert 400 <= answer.status < 500, (method, path, answer.status, answer.body[:300])

    def create(self, body: Mapping[str, Any], *, verify: bool = False) -> int:
        created = self.api.post(f"/api/email-providers{'' if verify else '?verify=false'}", body)
        identifier: int = created["id"]
        return identifier


def through_smtp(driven: Driven, relays: Mapping[str, EchoingRelay]) -> None:
    """For each relay: created, tested, mail sent, its password changed, everything again."""
    api, canaries = driven.api, driven.canaries
    api.post("/api/email-providers", smtp_provider(driven.control, {"host": "127.0.0.1", "port": 1}))
    for name, relay in relays.items():
        login = {"username": canaries.user(name), "password": canaries.text(name)}
        block = {"host": "127.0.0.1", "port": relay.port, "encryption": "none", **login}
        path = f"/api/email-providers/{driven.create(smtp_provider(name, block))}"
        api.post("/api/email-domains", {"provider_id": int(path.rpartition("/")[2]), "domain": f"{name}.example"})
        for change in ({}, {"password": canaries.text(f"{name} changed")}, {"username": canaries.user(f"{name}-2")}):
            if change:
                api.request("PATCH", path, {"smtp_credentials": change})
            tested = api.post(f"{path}/test", {"from": f"a@{name}.example"}, status=200)
            assert tested["success"] is (name == "taken"), tested
            driven.emails.append(_send(api, f"a@{name}.example"))
        assert relay.logins >= 3, name
    login = {"username": canaries.user("doomed"), "password": canaries.text("doomed")}
    doomed = driven.create(smtp_provider("doomed", {"host": "127.0.0.1", "port": 1, **login}))
    assert api.request("DELETE", f"/api/email-providers/{doomed}").status == 204


def through_http(driven: Driven, http: EchoingHttp, nats: str) -> None:
    """SES and Scaleway: checked live, refused with all that they were told; then unchecked, and used."""
    api, canaries = driven.api, driven.canaries

    def ses(name: str) -> dict[str, Any]:
        keys = {"access_key_id": canaries.key(f"{name}-id"), "secret_access_key": canaries.key(name)}
        return {
            "name": name,
            "provider_type": "ses",
            "region": "eu-west-1",
            "ses_credentials": {**keys, "endpoint_url": http.url},
        }

    def scaleway(name: str) -> dict[str, Any]:
        keys = {"api_key": canaries.key(name), "project_id": str(uuid4())}
        return {"name": name, "provider_type": "scaleway", "region": "fr-par", "scaleway_credentials": keys}

    refusals = [(401, "json"), (403, "json"), (400, "plain"), (404, "type"), (429, "json"), (500, "plain")]
    for make, block, member in (
        (ses, "ses_credentials", "secret_access_key"),
        (scaleway, "scaleway_credentials", "api_key"),
    ):
        for http.status, http.form in refusals:
            answer = api.request("POST", "/api/email-providers", make(f"{block}-checked-{http.status}"))
            assert answer.status in {422, 502}, answer.body
        body = make(f"{block}-unchecked")
        identifier, before = driven.create(body), http.requests
        path = f"/api/email-providers/{identifier}"
        for query in ("", "?verify=false"):
            api.request("PATCH", path + query, {block: {member: canaries.key(f"{block}-patched")}})
        for http.status, http.form in refusals:
            assert not api.post(f"{path}/test", {"from": "a@shop.example"}, status=200)["success"]
            domain = {"provider_id": identifier, "domain": f"s{http.status}.{body['provider_type']}.example"}
            refused = api.request("POST", "/api/email-domains", domain)
            assert refused.status in {422, 502}, refused.body
        assert http.requests >= before + 2 * len(refusals)
        name = f"{body['provider_type']}.example"
        asyncio.run(_register(nats, 1_000 + identifier, identifier, name))
        http.status, http.form = 401, "json"
        _tried(api, _send(api, f"a@{name}"))


def keys_and_sessions(driven: Driven, home: Path) -> None:
    """API keys, passwords and cookies, right and wrong."""
    api, canaries = driven.api, driven.canaries
    with api.showing("created key"):
        made = api.post("/api/api-keys", {"name": "second", "role": "admin"})
    driven.secrets["created key"] = made["key"]
    bearer = {"Authorization": f"Bearer {made['key']}"}
    assert api.request("GET", "/api/me", headers=bearer).status == 200
    assert api.request("DELETE", f"/api/api-keys/{made['id']}").status == 204
    assert api.request("GET", "/api/me", headers=bearer).status == 401
    driven.refused("POST", "/api/api-keys", {"name": "third", "role": canaries.text("role")})
    driven.refused("POST", "/api/api-keys", {"name": "third", "role": "admin", "key": canaries.text("key")})
    wrong = canaries.key("bearer")
    for value in (f"Bearer {wrong}", f"Bearer tk_{wrong}", f"Basic {base64.b64encode(wrong.encode()).decode()}", wrong):
        driven.refused("GET", "/api/me", None, headers={"Authorization": value})
    driven.refused("GET", "/api/me", None, headers={"Authorization": "", "Cookie": f"temps_session={wrong}"})
    person = {"email": "admin@temps.localhost", "password": (home / "admin-password").read_text().strip()}
    for body in (
        {**person, "password": canaries.text("password")},
        {"email": canaries.text("address"), "password": canaries.text("password")},
        {**person, "password": [canaries.text("password")]},
        {**person, "password": canaries.text("password") + "x" * 2_000},
        {**person, "code": canaries.text("code")},
    ):
        driven.refused("POST", "/api/session", body, headers={"Authorization": ""})
    with api.showing("session"):
        answer = api.request("POST", "/api/session", person, headers={"Authorization": ""})
    assert answer.status == 204
    cookie = re.match("temps_session=([^;]+);", answer.headers["set-cookie"])
    assert cookie is not None
    driven.secrets["session"] = cookie[1]
    logged_in = {"Authorization": "", "Cookie": f"temps_session={cookie[1]}"}
    assert api.request("GET", "/api/me", headers=logged_in).status == 200
    assert api.request("DELETE", "/api/session", headers={**logged_in, "Origin": api.url}).status == 204


def every_get(driven: Driven) -> None:
    """Every GET of the document, with everything that there is to ask about."""
    api = driven.api
    values = {
        "/api/email-providers/": [str(each["id"]) for each in api.get("/api/email-providers")],
        "/api/email-domains/by-domain/": [each["domain"] for each in api.get("/api/email-domains")],
        "/api/email-domains/": [str(each["id"]) for each in api.get("/api/email-domains")],
        "/api/emails/": driven.emails,
        "/api/local-inbox/": [each["id"] for each in api.get("/api/local-inbox")["data"]],
    }
    asked = 0
    for path, methods in api.get("/openapi.json")["paths"].items():
        if "get" not in methods:
            continue
        prefix = path.partition("{")[0]
        for value in values.get(prefix, ["1"]) if "{" in path else [""]:
            full = re.sub(r"\{\w+\}", "0", re.sub(r"\{\w+\}", value, path, count=1))
            answer = api.request("GET", full)
            assert answer.status < 500, (full, answer.body)
            asked += answer.status == 200
    assert asked > 100
    for page in ("/docs", "/healthz", "/readyz", "/nothing"):
        api.request("GET", page)


def _tried(api: Api, email_id: str) -> None:
    until(lambda: [fact["type"] for fact in timeline(api, email_id)], lambda facts: len(facts) > 1, seconds=20)


def timeline(api: Api, email_id: str) -> list[Any]:
    facts: list[Any] = api.get(f"/api/emails/{email_id}/timeline")
    return facts


def smtp_provider(name: str, block: Any) -> dict[str, Any]:
    return {"name": name, "provider_type": "smtp", "smtp_credentials": block}


async def _register(nats: str, identifier: int, provider_id: int, domain: str) -> None:
    """A domain that its provider knows nothing of, so that mail goes there."""
    bus = Bus(nats, name="test")
    await bus.start()
    try:
        assert await bus.wait_connected(5)
        fact = DomainCreated(domain=domain_state(identifier, provider_id, domain))
        await append(bus, new_envelope(fact, source="test", actor=ACTOR, at=datetime.now(UTC)))
    finally:
        await bus.close()


def _send(api: Api, sender: str) -> str:
    body = {
        "from": sender,
        "to": "b@example.com",
        "subject": "Hello, hello",
        "html": "<p>Hello</p>" * 100,
        "text": "Hello, hello",
    }
    identifier: str = api.post("/api/emails", {**body, "track_opens": True})["id"]
    return identifier
