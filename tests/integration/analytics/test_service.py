"""The whole service on a real log and a real Postgres: from a fact that is appended to the answer that shows it."""

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from deploy.local.servers import NatsAddress
from libs.common.facts import Actor, Envelope, timestamp, uuid7
from libs.common.facts.key import KeyCreated
from libs.common.jetstream.append import append, publish_durably
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.content import EMAIL_ID_HEADER, Content, encode_content, sha256_of
from libs.common.jetstream.streams import content_subject
from services.analytics.__main__ import MODELS, open_service
from services.analytics.projector import compare, rebuild
from services.analytics.settings import Settings
from tests.backing import Database
from tests.support.administration import key
from tests.support.answering import KEY, READER, within
from tests.support.asgi import Answer, App, ask, principal
from tests.support.forwarder import forwarding
from tests.support.history import BEGINNING, History, attempted, hit, new_id, submitted
from tests.support.projecting import log_at, until

BODIES = Content("plain", "<p>as submitted</p>", "<p>as sent</p>", {"X-Order": "17"})


class Running:
    """The service, and the log it reads."""

    def __init__(self, app: App, bus: Bus) -> None:
        self.app = app
        self.bus = bus

    async def get(self, target: str, **headers: str) -> Answer:
        who = principal(scopes=READER | {"audit:read"})
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await ask(self.app, "GET", target, key=KEY, principal=who, headers=named)

    async def append(self, type_: str, email_id: UUID, **data: Any) -> Envelope:
        """A fact of this very moment."""
        fact = History().add(type_, email_id, datetime.now(UTC), **data)
        return await append(self.bus, fact._replace(id=str(uuid7())))

    async def accept(self, email_id: UUID, *, days: float = 45, owner: UUID | None = None) -> Envelope:
        """An email with its content; `owner` is whose content the stream really holds there."""
        stored = encode_content(BODIES)
        sequence = await publish_durably(
            self.bus,
            content_subject("00"),
            stored,
            msg_id=str(email_id),
            headers={EMAIL_ID_HEADER: str(owner or email_id)},
        )
        reference = {
            "sequence": sequence,
            "sha256": sha256_of(stored),
            "size": len(stored),
            "expires_at": timestamp(datetime.now(UTC) + timedelta(days=days)),
        }
        return await self.append("email.accepted.v1", email_id, **submitted(content=reference, pixel=True))


@asynccontextmanager
async def service_at(
    nats: NatsAddress, database: Database, directory: Path, *, url: str | None = None
) -> AsyncIterator[Running]:
    key_file = directory / "principal-key"
    key_file.write_text(base64.b64encode(KEY).decode())
    settings = Settings(
        nats_url=nats.url,
        principal_key_file=key_file,
        postgres_url=url or database.url,
        postgres_owner_url=database.owner_url,
    )
    async with log_at(nats.url) as bus, open_service(settings) as app:
        running = Running(app, bus)
        yield running


@pytest.fixture
async def running(clean_nats: NatsAddress, database: Database, tmp_path: Path) -> AsyncIterator[Running]:
    async with service_at(clean_nats, database, tmp_path) as service:
        await until(lambda: _ready(service))
        yield service


async def _ready(service: Running) -> bool:
    return (await service.get("/readyz")).status == 200


async def test_an_email_is_found_directly_after_it_was_accepted(running: Running) -> None:
    for _ in range(20):
        email_id = uuid7()
        fact = await running.accept(email_id)
        told = await running.get(f"/api/emails/{email_id}", Temps_Position=f"email={fact.sequence}")
        assert told.status == 200, told.body
        other = uuid7()
        await running.accept(other)
        assert (await running.get(f"/api/emails/{other}/tracking")).status == 200  # nobody told it to wait
        last = uuid7()
        await running.accept(last)
        assert (await running.get(f"/api/emails/{last}/timeline")).status == 200


async def test_bodies_are_read_from_the_content_stream(running: Running) -> None:
    email_id = uuid7()
    await running.accept(email_id)
    email = (await running.get(f"/api/emails/{email_id}")).json
    assert (email["html_body"], email["tracked_html_body"]) == (BODIES.html, BODIES.tracked_html)
    assert (email["text_body"], email["headers"]) == (BODIES.text, BODIES.headers)
    assert email["content_expires_at"].endswith("Z")


async def test_content_that_has_expired_or_is_somebody_elses_is_not_shown(running: Running) -> None:
    for days, owner in ((-1, None), (45, uuid7())):
        email_id = uuid7()
        await running.accept(email_id, days=days, owner=owner)
        email = (await running.get(f"/api/emails/{email_id}")).json
        assert email["status"] == "queued"
        assert (email["html_body"], email["text_body"], email["headers"]) == (None, None, None)


async def test_what_happens_to_an_email_is_answered(running: Running) -> None:
    email_id = uuid7()
    await running.accept(email_id)
    await running.append("email.sent.v1", email_id, **attempted({"ann@example.org": "accepted"}))
    await running.append("email.opened.v1", email_id, **hit())

    async def seen() -> bool:
        tracking = (await running.get(f"/api/emails/{email_id}/tracking")).json
        return bool(tracking["open_count"] == 1)

    await until(seen)
    stats = (await running.get("/api/emails/events/stats")).json
    assert (stats["delivered"], stats["opened"], stats["open_rate"]) == (1, 1, 100.0)
    events = (await running.get(f"/api/emails/{email_id}/tracking/events")).json
    timeline = (await running.get(f"/api/emails/{email_id}/timeline")).json
    assert [event["id"] for event in events] == [timeline[2]["id"]]
    assert events[0]["created_at"] == timeline[2]["time"]


async def test_a_rebuild_of_the_audit_trail_gives_the_same_entries(running: Running, database: Database) -> None:
    history, maker = History(), Actor(id="key/1", kind="key", user_id=1, ip="192.0.2.9", user_agent="curl/8")
    for number in range(30):
        at = BEGINNING + timedelta(minutes=7 * number)
        if number % 3:
            history.add("email.accepted.v1", new_id(number), at, by=maker, **submitted())
        else:
            history.note(KeyCreated(key=key(number + 1, f"key {number}")), at, maker)
    for fact in history.mail:
        await append(running.bus, fact)

    async def shown() -> bool:
        return bool((await running.get("/api/audit-logs")).json["total"] == 30)

    await until(shown)
    before = (await running.get("/api/audit-logs?page_size=100")).json
    trail = [model for model in MODELS if model.name == "audit"]
    owner, url = database.owner_url, database.url
    assert await compare(running.bus, owner_url=owner, postgres_url=url, models=trail) == {"audit": []}
    assert (await rebuild(running.bus, owner_url=owner, postgres_url=url, models=trail)).rebuilt == ["audit"]
    assert (await running.get("/api/audit-logs?page_size=100")).json == before
    assert before["data"][-1]["actor"] == {"kind": "key", "id": "key/1", "name": "key 0"}


async def test_ids_that_nobody_accepted_are_not_found(running: Running) -> None:
    await running.accept(uuid7())
    for unknown in (uuid7(), uuid7(1_700_000_000_000), uuid7((1 << 48) - 1)):
        assert (await running.get(f"/api/emails/{unknown}")).status == 404


async def test_a_frozen_postgres_is_unavailable_in_time_and_the_service_recovers(
    clean_nats: NatsAddress, database: Database, tmp_path: Path
) -> None:
    async with forwarding(urlsplit(database.url).port or 5432) as way:
        url = database.url.replace(f":{urlsplit(database.url).port}/", f":{way.port}/")
        async with service_at(clean_nats, database, tmp_path, url=url) as service:
            await until(lambda: _ready(service))
            email_id = uuid7()
            await service.accept(email_id)
            assert (await service.get(f"/api/emails/{email_id}")).status == 200
            way.freeze()
            for target in ("/api/emails", "/api/emails/stats", f"/api/emails/{email_id}", "/api/emails/events/stats"):
                async with within(4.0):
                    answer = await service.get(target)
                assert (answer.status, answer.json["error_code"]) == (503, "UNAVAILABLE"), target
                assert "retry-after" in answer.headers

            async def waiting() -> bool:
                answer = await service.get("/readyz")
                return answer.status == 503 and "postgres" in answer.json["waiting_for"]

            await until(waiting, timeout=30)
            late = uuid7()
            await service.accept(late)
            way.thaw()
            await until(lambda: _ready(service), timeout=30)
            assert (await service.get(f"/api/emails/{late}")).status == 200
            assert (await service.get("/api/emails")).json["total"] == 2
