"""The questions of the contract, asked over read models that were filled with known facts."""

import os
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest

from libs.common.facts import Actor
from tests.backing import Database, PostgresServer, new_database
from tests.support.answering import Answering, answering, within
from tests.support.history import BEGINNING, History, attempted, hit, new_id, submitted
from tests.support.read_models import copies

EMAIL = {
    "id", "domain_id", "provider_id", "from_address", "from_name", "to_addresses", "cc_addresses", "bcc_addresses",
    "reply_to", "subject", "html_body", "tracked_html_body", "text_body", "headers", "tags", "metadata", "attachments",
    "status", "recipients", "provider_message_id", "content_expires_at", "error_message", "attempts", "scheduled_at",
    "sent_at", "delivered_at", "created_at", "track_opens", "track_clicks", "open_count", "click_count",
    "first_opened_at", "first_clicked_at",
}  # fmt: skip
BODIES = {"html_body", "tracked_html_body", "text_body", "headers", "attachments", "content_expires_at"}

SENT, BOUNCED, INBOX, MIXED, PLAIN, QUEUED = (new_id(number) for number in range(6))
LINKS = ["https://example.com/0", "https://example.com/1"]
CAMPAIGN = {"name": "campaign", "value": "spring"}


def a_day() -> History:
    """Six emails, an hour between them, and what came back."""
    history = History()
    at = [BEGINNING + timedelta(hours=number, minutes=20) for number in range(6)]
    soon = timedelta(seconds=5)
    welcome = {"name": "welcome", "value": None}
    history.add(
        "email.accepted.v1", SENT, at[0],
        **submitted(tags=[welcome, CAMPAIGN], links=LINKS, pixel=True, subject="100% of your order"),
    )  # fmt: skip
    history.add(
        "email.sent.v1", SENT, at[0] + soon, provider_message_id="<1@x>", captured=False,
        **attempted({"ann@example.org": "accepted"}),
    )  # fmt: skip
    history.add("email.accepted.v1", BOUNCED, at[1], **submitted(["bounced@example.org"], provider_id=2, domain_id=2))
    refused = attempted({"bounced@example.org": "bounced"}, provider_id=2)
    history.add("email.bounced.v1", BOUNCED, at[1] + soon, **refused)
    history.add(
        "email.accepted.v1", INBOX, at[2], **submitted(["Bob@Example.org"], links=LINKS, pixel=True, tags=[CAMPAIGN])
    )
    history.add("email.sent.v1", INBOX, at[2] + soon, captured=True, **attempted({"Bob@Example.org": "accepted"}))
    history.add(
        "email.accepted.v1", MIXED, at[3],
        **submitted(["ann@example.org", "bob@example.org"], pixel=True, from_address="News@example.net"),
    )  # fmt: skip
    outcomes = {"ann@example.org": "accepted", "bob@example.org": "bounced"}
    history.add("email.sent.v1", MIXED, at[3] + soon, **attempted(outcomes))
    history.add("email.captured.v1", PLAIN, at[4], **submitted(provider_id=None, domain_id=None))
    history.add("email.accepted.v1", QUEUED, at[5], **submitted(subject="Later"))
    history.add("email.deferred.v1", QUEUED, at[5] + soon, **attempted({"ann@example.org": "deferred"}))

    history.add("email.opened.v1", SENT, at[0] + 2 * soon, **hit("192.0.2.1"))
    history.add("email.opened.v1", SENT, at[0] + 3 * soon, **hit("192.0.2.1"))
    history.add("email.opened.v1", SENT, at[0] + 4 * soon, **hit("192.0.2.9", machine=True))
    history.add("email.clicked.v1", SENT, at[0] + 5 * soon, **hit("192.0.2.2", link=1))
    history.add("email.opened.v1", INBOX, at[2] + 2 * soon, **hit("192.0.2.9", machine=True))
    return history


@pytest.fixture(scope="module")
async def filled(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    """One database for all questions here: none of them changes anything."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    with new_database(postgres_server, f"analytics_api_{worker}_{os.getpid()}") as database:
        async with copies(database, "") as (copy,):
            await copy.apply(a_day().all())
        yield database


@pytest.fixture
async def day(filled: Database) -> AsyncIterator[Answering]:
    async with answering(filled.owner_url) as service:
        yield service


async def test_the_list_is_newest_first_and_without_bodies(day: Answering) -> None:
    answer = await day.json("/api/emails")
    assert answer.keys() == {"data", "total", "page", "page_size"}
    assert (answer["total"], answer["page"], answer["page_size"]) == (6, 1, 20)
    assert [UUID(item["id"]) for item in answer["data"]] == [QUEUED, PLAIN, MIXED, INBOX, BOUNCED, SENT]
    assert all(item.keys() == EMAIL - BODIES for item in answer["data"])
    statuses = [item["status"] for item in answer["data"]]
    assert statuses == ["queued", "captured", "bounced", "captured", "bounced", "sent"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("domain_id=2", [BOUNCED]),
        ("provider_id=1&status=captured", [INBOX]),
        ("status=bounced", [MIXED, BOUNCED]),
        ("status=cancelled", []),
        ("from_address=news@example.net", [MIXED]),
        ("to_address=bob@example.org", [MIXED, INBOX]),
        ("to_address=nobody@example.org", []),
        ("tag=campaign:spring", [INBOX, SENT]),
        ("tag=campaign:spring&status=sent", [SENT]),
        ("tag=campaign", []),
        ("tag=welcome", [SENT]),
        ("subject=LATER", [QUEUED]),
        ("subject=100%25 of", [SENT]),
        ("subject=1__", []),
        ("subject=er", [QUEUED, PLAIN, MIXED, INBOX, BOUNCED, SENT]),
        ("subject=your&tag=campaign:spring&from_address=shop@example.com&provider_id=1", [INBOX, SENT]),
        ("since=2026-03-01T11:20:00Z", [QUEUED, PLAIN, MIXED]),
        ("until=2026-03-01T12:20:00%2B01:00", [MIXED, INBOX, BOUNCED, SENT][1:]),
        ("since=2026-03-01T09:00:00Z&until=2026-03-01T10:20:00.000001Z&status=captured", [INBOX]),
        ("since=2026-03-01T10:20:00Z&until=2026-03-01T10:20:00Z", []),
        ("since=9999-12-31T23:59:59Z", []),
        ("until=0001-01-01T00:00:00Z", []),
        ("domain_id=9007199254740991", []),
    ],
)
async def test_each_filter_narrows_the_list_and_its_total(day: Answering, query: str, found: list[UUID]) -> None:
    answer = await day.json(f"/api/emails?{query.replace(' ', '%20')}")
    assert [UUID(item["id"]) for item in answer["data"]] == found
    assert answer["total"] == len(found)


async def test_pages_meet_and_do_not_overlap(day: Answering) -> None:
    pages = [await day.json(f"/api/emails?page={page}&page_size=4") for page in (1, 2, 3, 2**31 - 1)]
    assert [len(page["data"]) for page in pages] == [4, 2, 0, 0]
    everything = await day.json("/api/emails")
    assert pages[0]["data"] + pages[1]["data"] == everything["data"]
    by_subject = [await day.json(f"/api/emails?subject=o&page={page}&page_size=4") for page in (1, 2)]
    assert [item["id"] for page in by_subject for item in page["data"]] == [
        item["id"] for item in everything["data"] if "o" in item["subject"]
    ]


async def test_each_email_is_once_under_its_status(day: Answering) -> None:
    stats = await day.json("/api/emails/stats")
    assert stats == {
        "total": 6, "queued": 1, "scheduled": 0, "sent": 1, "delivered": 0, "bounced": 2, "failed": 0, "captured": 2,
        "cancelled": 0, "suppressed": 0,
    }  # fmt: skip
    of_domain = await day.json("/api/emails/stats?domain_id=2")
    assert (of_domain["total"], of_domain["bounced"]) == (1, 1)
    assert (await day.json("/api/emails/stats?domain_id=77"))["total"] == 0


async def test_one_email_shows_everything_but_what_cannot_be_read(day: Answering) -> None:
    email = await day.json(f"/api/emails/{SENT}")
    assert email.keys() == EMAIL
    assert (email["html_body"], email["text_body"], email["headers"]) == (None, None, None)
    assert (email["open_count"], email["click_count"], email["attempts"]) == (2, 1, 1)
    assert email["tags"] == ["welcome", CAMPAIGN]
    assert email["to_addresses"] == ["ann@example.org"]
    assert email["provider_message_id"] == "<1@x>"
    assert email["created_at"] == "2026-03-01T08:20:00Z"
    assert email["sent_at"] == "2026-03-01T08:20:05Z"
    assert email["first_opened_at"] == "2026-03-01T08:20:10Z"
    assert email["error_message"] is None


async def test_what_the_relay_said_is_shown_with_the_recipient(day: Answering) -> None:
    email = await day.json(f"/api/emails/{MIXED}")
    assert email["status"] == "bounced"
    assert [(one["address"], one["status"], one["smtp_code"]) for one in email["recipients"]] == [
        ("ann@example.org", "sent", 250),
        ("bob@example.org", "bounced", 550),
    ]
    assert email["error_message"] == "bounced at attempt 1"
    waiting = await day.json(f"/api/emails/{QUEUED}")
    assert waiting["recipients"][0]["detail"] == waiting["error_message"] == "deferred at attempt 1"


async def test_tracking_leaves_machines_out_of_the_headline(day: Answering) -> None:
    tracking = await day.json(f"/api/emails/{SENT}/tracking")
    assert tracking == {
        "email_id": str(SENT), "track_opens": True, "track_clicks": True, "open_count": 2, "click_count": 1,
        "unique_opens": 1, "unique_clicks": 1, "machine_opens": 1, "machine_clicks": 0,
        "first_opened_at": "2026-03-01T08:20:10Z", "first_clicked_at": "2026-03-01T08:20:25Z",
        "links": [
            {"link_index": 0, "original_url": LINKS[0], "click_count": 0, "unique_clicks": 0},
            {"link_index": 1, "original_url": LINKS[1], "click_count": 1, "unique_clicks": 1},
        ],
    }  # fmt: skip
    untouched = await day.json(f"/api/emails/{PLAIN}/tracking")
    assert (untouched["open_count"], untouched["links"], untouched["first_opened_at"]) == (0, [], None)


async def test_events_of_an_email_are_oldest_first_and_list_machines(day: Answering) -> None:
    events = await day.json(f"/api/emails/{SENT}/tracking/events")
    assert [event["event_type"] for event in events] == ["open", "open", "open", "click"]
    assert [event["machine"] for event in events] == [False, False, True, False]
    assert events[3].keys() == {
        "id", "email_id", "event_type", "recipient", "link_index", "link_url", "ip_address", "user_agent", "machine",
        "machine_reason", "detail", "created_at",
    }  # fmt: skip
    assert (events[3]["link_index"], events[3]["recipient"]) == (1, "ann@example.org")
    assert await day.json(f"/api/emails/{SENT}/tracking/events?event_type=clicked") == events[3:]
    bounce = await day.json(f"/api/emails/{MIXED}/tracking/events")
    assert [(event["event_type"], event["recipient"], event["detail"]) for event in bounce] == [
        ("bounce", "bob@example.org", "bounced at attempt 1")
    ]
    assert await day.json(f"/api/emails/{PLAIN}/tracking/events") == []


@pytest.mark.parametrize(
    ("query", "types"),
    [
        ("", ["bounce", "open", "bounce", "click", "open", "open", "open"]),
        ("event_type=opened", ["open"] * 4),
        ("event_type=bounce&domain_id=2", ["bounce"]),
        ("event_type=complained", []),
        ("provider_id=2", ["bounce"]),
        ("tag=campaign:spring", ["open", "click", "open", "open", "open"]),
        ("tag=welcome&event_type=click", ["click"]),
        ("since=2026-03-01T10:20:10Z", ["bounce", "open"]),
        ("until=2026-03-01T08:20:20Z&event_type=open", ["open", "open"]),
        ("recipient=BOB@example.org", ["bounce", "open"]),
        ("recipient=ann@example.org&event_type=open", ["open"] * 3),
        ("recipient=nobody@example.org", []),
    ],
)
async def test_each_filter_narrows_the_events_and_their_total(day: Answering, query: str, types: list[str]) -> None:
    answer = await day.json(f"/api/emails/events?{query}")
    assert answer.keys() == {"events", "total", "page", "page_size"}
    assert [event["event_type"] for event in answer["events"]] == types
    assert answer["total"] == len(types)
    in_pages = [
        event
        for page in range(1, len(types) + 1)
        for event in (await day.json(f"/api/emails/events?{query}&page={page}&page_size=1"))["events"]
    ]
    assert in_pages == answer["events"]


@pytest.mark.parametrize(
    ("query", "figures"),
    [
        ("", (2, 1, 1, 2, 0, 50.0, 50.0, 50.0, 0.0)),
        ("domain_id=2", (0, 0, 0, 1, 0, None, None, 100.0, None)),
        ("tag=welcome", (1, 1, 1, 0, 0, 100.0, 100.0, 0.0, 0.0)),
        ("provider_id=1&domain_id=1&tag=campaign:spring", (2, 1, 1, 0, 0, 50.0, 50.0, 0.0, 0.0)),
        ("since=2026-03-01T09:00:00Z", (1, 0, 0, 2, 0, 0.0, 0.0, 100 * 2 / 3, 0.0)),
        ("until=2026-03-01T08:20:00Z", (0, 0, 0, 0, 0, None, None, None, None)),
        ("until=2026-03-01T08:20:00.000001Z", (1, 1, 1, 0, 0, 100.0, 100.0, 0.0, 0.0)),
        ("recipient=bob@example.org", (1, 0, 0, 1, 0, 0.0, 0.0, 50.0, 0.0)),
        ("recipient=bob@example.org&until=2026-03-01T10:30:00Z", (1, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0)),
    ],
)
async def test_figures_count_emails(day: Answering, query: str, figures: tuple[Any, ...]) -> None:
    answer = await day.json(f"/api/emails/events/stats?{query}")
    assert list(answer) == [
        "delivered", "opened", "clicked", "bounced", "complained",
        "open_rate", "click_rate", "bounce_rate", "complaint_rate",
    ]  # fmt: skip
    assert tuple(answer.values()) == pytest.approx(figures)


async def test_machines_count_when_everything_counts(filled: Database, day: Answering) -> None:
    async with answering(filled.owner_url, count_machines=True) as everything:
        assert (await everything.json("/api/emails/events/stats"))["opened"] == 2
        tracking = await everything.json(f"/api/emails/{SENT}/tracking")
        assert (tracking["open_count"], tracking["unique_opens"], tracking["machine_opens"]) == (3, 2, 1)
        email = await everything.json(f"/api/emails/{INBOX}")
        assert (email["open_count"], email["first_opened_at"]) == (1, "2026-03-01T10:20:10Z")
    assert (await day.json(f"/api/emails/{INBOX}"))["open_count"] == 0


async def test_the_timeline_is_every_fact_in_order(day: Answering) -> None:
    timeline = await day.json(f"/api/emails/{SENT}/timeline")
    events = [entry["type"].removesuffix(".v1") for entry in timeline]
    assert events == ["email.accepted", "email.sent", *["email.opened"] * 3, "email.clicked"]
    assert timeline[0].keys() == {"id", "sequence", "stream", "type", "time", "actor", "data"}
    assert timeline[1]["data"]["recipients"][0]["text"] == "accepted at attempt 1"
    assert timeline[0]["actor"]["kind"] == "system"


async def test_the_timeline_says_why_another_provider_took_over_and_what_each_relay_said(database: Database) -> None:
    history, people = History(), {"ann@example.org": "deferred"}
    key = Actor(id="key/3", kind="key", user_id=1, ip="192.0.2.4", user_agent="curl/8")
    worker = Actor(id="sender", kind="system")
    route = {"reason": "fallback", "domain_id": None, "detail": "provider 1 refused the login: 535 5.7.8 no"}
    at = [BEGINNING + timedelta(minutes=number) for number in range(4)]
    history.add("email.accepted.v1", SENT, at[0], by=key, **submitted())
    history.add("email.deferred.v1", SENT, at[1], by=worker, **attempted(people, reason="connection"))
    history.add(
        "email.rerouted.v1", SENT, at[2], by=worker, attempt=2, from_provider_id=1, provider_id=2, route=route,
        tried=[1],
    )  # fmt: skip
    taken = attempted({"ann@example.org": "accepted"}, attempt=2, provider_id=2)
    history.add("email.sent.v1", SENT, at[3], by=worker, **taken)
    async with copies(database, "") as (copy,):
        await copy.apply(history.all())
    async with answering(database.owner_url) as service:
        accepted, deferred, rerouted, sent = await service.json(f"/api/emails/{SENT}/timeline")
    assert (accepted["data"]["route"]["reason"], accepted["data"]["provider_id"]) == ("domain", 1)
    assert accepted["actor"] == key.model_dump(mode="json")
    assert (deferred["data"]["attempt"], deferred["data"]["reason"]) == (1, "connection")
    assert deferred["data"]["recipients"][0]["text"] == "deferred at attempt 1"
    assert (rerouted["type"], rerouted["actor"]["id"], rerouted["data"]["route"]) == (
        "email.rerouted.v1",
        "sender",
        route,
    )
    moved = {name: rerouted["data"][name] for name in ("attempt", "from_provider_id", "provider_id", "tried")}
    assert moved == {"attempt": 2, "from_provider_id": 1, "provider_id": 2, "tried": [1]}
    assert (sent["data"]["provider_id"], sent["data"]["recipients"][0]["smtp_code"]) == (2, 250)


@pytest.mark.parametrize("rest", ["", "/tracking", "/tracking/events", "/timeline"])
async def test_an_id_that_is_none_is_refused_and_an_unknown_one_is_not_found(day: Answering, rest: str) -> None:
    known = str(new_id(1))
    for spelled in (f"urn:uuid:{known}", known.replace("-", ""), f"{{{known}}}", f"%20{known}"):
        assert (await day.get(f"/api/emails/{spelled}{rest}")).status == 400, spelled
    malformed = await day.get(f"/api/emails/not-an-id{rest}")
    assert (malformed.status, malformed.json["errors"][0]["field"]) == (400, "id")
    for unknown in (uuid4(), new_id(99), UUID(int=0), UUID(int=2**128 - 1)):
        answer = await day.get(f"/api/emails/{unknown}{rest}")
        assert (answer.status, answer.json["error_code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "path", ["emails/metrics", f"emails/{SENT}/attachments/0", "events", "events/stream", "webhooks"]
)
async def test_what_is_not_built_is_not_found(day: Answering, path: str) -> None:
    answer = await day.get(f"/api/{path}?page=1")
    assert (answer.status, answer.json["error_code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("target", "field"),
    [
        ("/api/emails?page=0", "page"),
        ("/api/emails?page=-1", "page"),
        ("/api/emails?page=99999999999999999999999", "page"),
        ("/api/emails?page_size=0", "page_size"),
        ("/api/emails?page_size=101", "page_size"),
        ("/api/emails?page=x", "page"),
        ("/api/emails?domain_id=99999999999999999999999", "domain_id"),
        ("/api/emails?domain_id=0", "domain_id"),
        ("/api/emails?provider_id=1.5", "provider_id"),
        ("/api/emails?status=unknown", "status"),
        ("/api/emails?status=", "status"),
        ("/api/emails?subject=a%00b", "subject"),
        ("/api/emails?tag=%00", "tag"),
        ("/api/emails?from_address=%00", "from_address"),
        ("/api/emails?to_address=%00", "to_address"),
        ("/api/emails?since=2026-03-01T08:20:00", "since"),
        ("/api/emails?until=yesterday", "until"),
        ("/api/emails?since=1700000000", "since"),
        ("/api/emails?since=2026-03-01T08:20:00+02:00", "since"),  # a plus that is not %2B is a space
        ("/api/emails?since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", "until"),
        ("/api/emails?colour=red", "colour"),
        ("/api/emails?page=1&page=2", "page"),
        ("/api/emails/stats?domain_id=x", "domain_id"),
        ("/api/emails/stats?page=1", "page"),
        ("/api/emails/events?event_type=seen", "event_type"),
        ("/api/emails/events?page=0", "page"),
        ("/api/emails/events?recipient=%00", "recipient"),
        ("/api/emails/events/stats?event_type=open", "event_type"),
        ("/api/emails/events/stats?since=2026-03-01", "since"),
        (f"/api/emails/{SENT}/tracking/events?event_type=seen", "event_type"),
    ],
)
async def test_bad_input_is_refused_naming_the_parameter(day: Answering, target: str, field: str) -> None:
    answer = await day.get(target)
    assert (answer.status, [error["field"] for error in answer.json["errors"]][:1]) == (400, [field])
    assert answer.headers["content-type"] == "application/problem+json"


async def test_any_text_is_a_filter(day: Answering) -> None:
    for text in ("'; DROP TABLE emails; --", "%", "_", "\\", "日本語", "a" * 2_000, "%(page)s", "{x}"):
        for name in ("subject", "tag", "from_address", "to_address"):
            await day.json(f"/api/emails?{name}={quote(text)}")
        await day.json(f"/api/emails/events?recipient={quote(text)}&tag={quote(text)}")
        await day.json(f"/api/emails/events/stats?recipient={quote(text)}")


async def test_every_route_needs_the_scope(day: Answering) -> None:
    for path in ("", "/stats", "/events", "/events/stats", f"/{SENT}", f"/{SENT}/tracking", f"/{SENT}/timeline"):
        answer = await day.get(f"/api/emails{path}", scopes=frozenset({"emails:send"}))
        assert (answer.status, answer.json["required_permission"]) == (403, "emails:read")


async def test_one_who_has_written_waits_for_it(day: Answering) -> None:
    behind = await day.get(f"/api/emails/{SENT}", headers={"Temps-Position": "provider=9,email=12"})
    assert (behind.status, behind.json["error_code"]) == (503, "NOT_CAUGHT_UP")
    assert "retry-after" in behind.headers
    assert (await day.get("/api/emails", headers={"Temps-Position": "email=12"})).status == 200
    day.checkpoints.at = 12
    assert (await day.get(f"/api/emails/{SENT}", headers={"Temps-Position": "provider=9,email=12"})).status == 200
    assert day.checkpoints.waited == [12]


async def test_without_postgres_every_question_is_refused_soon() -> None:
    async with answering("postgresql://nobody@127.0.0.1:9/none") as service, within(3.5):
        answer = await service.get("/api/emails/stats")
        assert (answer.status, answer.json["error_code"]) == (503, "UNAVAILABLE")
        assert "retry-after" in answer.headers


async def test_before_the_read_models_are_made_every_question_is_refused(database: Database) -> None:
    async with answering(database.url) as service:
        for path in ("", "/stats", "/events", "/events/stats", f"/{SENT}", f"/{SENT}/tracking", f"/{SENT}/timeline"):
            answer = await service.get(f"/api/emails{path}")
            assert (answer.status, answer.json["error_code"]) == (503, "UNAVAILABLE"), path
            assert "retry-after" in answer.headers
