"""The audit trail: which facts are entries, who is named, and how the list is asked."""

import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from services.analytics.audit.rules import NAMES
from tests.backing import Database, PostgresServer, new_database
from tests.support.administration import CANARY, CAPTURED, EMAIL, a_day
from tests.support.answering import Answering, answering
from tests.support.projecting import rows
from tests.support.read_models import copies

AUDITOR = frozenset({"audit:read"})

EVERYTHING = [
    "API_KEY_DELETED",
    "EMAIL_PROVIDER_DELETED",
    "EMAIL_DOMAIN_DELETED",
    "EMAIL_SENT",
    "EMAIL_SENT",
    "EMAIL_DOMAIN_VERIFICATION_FAILED",
    "EMAIL_DOMAIN_CREATED",
    "EMAIL_PROVIDER_STOPPED",
    "EMAIL_PROVIDER_TESTED",
    "EMAIL_PROVIDER_UPDATED",
    "USER_UPDATED",
    "EMAIL_PROVIDER_CREATED",
    "API_KEY_CREATED",
    "USER_CREATED",
]


@pytest.fixture(scope="module")
async def filled(postgres_server: PostgresServer) -> AsyncIterator[Database]:
    """One database for all questions here: none of them changes anything."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    with new_database(postgres_server, f"audit_{worker}_{os.getpid()}") as database:
        async with copies(database, "") as (copy,):
            await copy.apply(a_day().all())
        yield database


@pytest.fixture
async def day(filled: Database) -> AsyncIterator[Answering]:
    async with answering(filled.owner_url) as service:
        yield service


async def asked(day: Answering, query: str = "") -> Any:
    answer = await day.get(f"/api/audit-logs?{query}", scopes=AUDITOR)
    assert answer.status == 200, answer.body
    return answer.json


async def test_every_change_is_an_entry_newest_first(day: Answering) -> None:
    answer = await asked(day)
    assert answer.keys() == {"data", "total", "page", "page_size"}
    assert (answer["total"], answer["page"], answer["page_size"]) == (len(EVERYTHING), 1, 20)
    assert [entry["operation_type"] for entry in answer["data"]] == EVERYTHING
    fields = {"id", "operation_type", "actor", "ip_address", "user_agent", "details", "created_at"}
    assert all(entry.keys() == fields for entry in answer["data"])
    assert [entry["id"] for entry in answer["data"]] == [
        fact.id for fact in reversed(a_day().mail) if fact.type != "email.sent.v1"
    ]
    assert answer["data"][0]["created_at"] == "2026-03-01T08:22:00Z"


async def test_details_say_what_changed(day: Answering) -> None:
    found = {entry["operation_type"]: entry["details"] for entry in (await asked(day))["data"]}
    relay = {"provider_id": 1, "name": "Relay", "provider_type": "smtp", "region": "custom"}
    example = {"domain_id": 1, "domain": "example.com", "provider_id": 1, "status": "pending"}
    assert found["EMAIL_PROVIDER_CREATED"] == relay
    assert found["EMAIL_PROVIDER_UPDATED"] == relay | {"changed_fields": ["name", "smtp_credentials.password"]}
    assert found["EMAIL_PROVIDER_TESTED"] == relay | {
        "recipient_email": "ann@example.org",
        "success": False,
        "error": "535 no",
    }
    assert found["EMAIL_PROVIDER_STOPPED"] == relay | {"reason": "login"}
    assert found["EMAIL_PROVIDER_DELETED"] == relay | {"forced": False}
    assert found["EMAIL_DOMAIN_CREATED"] == found["EMAIL_DOMAIN_DELETED"] == example
    failed = {"status": "failed", "verification_error": "no SPF"}
    assert found["EMAIL_DOMAIN_VERIFICATION_FAILED"] == example | failed
    assert found["API_KEY_DELETED"] == {
        "key_id": 1, "name": "First key", "role": None, "scopes": ["emails:send"], "user_id": 1,
    }  # fmt: skip
    assert found["USER_UPDATED"]["changed_fields"] == ["name"]
    sent = [entry["details"] for entry in (await asked(day, "operation_type=EMAIL_SENT"))["data"]]
    assert sent == [
        {"email_id": str(CAPTURED), "from_address": "shop@example.com", "recipient_count": 1},
        {"email_id": str(EMAIL), "from_address": "shop@example.com", "recipient_count": 2},
    ]


async def test_who_did_it_has_the_name_of_that_time(day: Answering) -> None:
    entries = (await asked(day))["data"]
    found = {entry["operation_type"]: entry for entry in entries}
    person = {"kind": "session", "id": "user/1"}
    assert found["EMAIL_PROVIDER_CREATED"]["actor"] == person | {"name": "Administrator"}
    assert found["EMAIL_PROVIDER_UPDATED"]["actor"] == person | {"name": "Ann"}
    assert found["EMAIL_SENT"]["actor"] == {"kind": "key", "id": "key/1", "name": "First key"}
    assert (found["EMAIL_SENT"]["ip_address"], found["EMAIL_SENT"]["user_agent"]) == ("192.0.2.9", "curl/8")
    for operation, part in (("EMAIL_PROVIDER_STOPPED", "sender"), ("USER_CREATED", "gateway")):
        assert found[operation]["actor"] == {"kind": "system", "id": part, "name": part}
        assert (found[operation]["ip_address"], found[operation]["user_agent"]) == (None, None)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("operation_type=EMAIL_DOMAIN_VERIFIED", []),
        ("operation_type=API_KEY_CREATED", ["API_KEY_CREATED"]),
        ("actor=sender", ["EMAIL_PROVIDER_STOPPED"]),
        ("actor=key/1", [*EVERYTHING[3:7], "EMAIL_PROVIDER_TESTED"]),
        ("actor=FIRST key", [*EVERYTHING[3:7], "EMAIL_PROVIDER_TESTED"]),
        ("actor=ann", [*EVERYTHING[:3], "EMAIL_PROVIDER_UPDATED", "USER_UPDATED", "EMAIL_PROVIDER_CREATED"]),
        ("actor=Administrator&operation_type=EMAIL_PROVIDER_UPDATED", ["EMAIL_PROVIDER_UPDATED"]),
        ("actor=key/1&operation_type=USER_CREATED", []),
        ("actor=nobody", []),
        ("since=2026-03-01T08:21:00Z", EVERYTHING[:2]),
        ("until=2026-03-01T08:02:00.000001Z", EVERYTHING[-3:]),
        ("since=2026-03-01T10:05:00%2B02:00&until=2026-03-01T08:11:00Z&actor=key/1", [*EVERYTHING[4:7], EVERYTHING[8]]),
        ("since=2026-03-01T07:00:00Z&until=2026-03-01T09:00:00Z&operation_type=EMAIL_SENT", ["EMAIL_SENT"] * 2),
        ("since=2020-01-01T00:00:00Z&until=2030-01-01T00:00:00Z", EVERYTHING),
        ("since=9999-12-31T23:59:59Z", []),
        ("until=0001-01-01T00:00:00Z", []),
    ],
)
async def test_each_filter_narrows_the_list_and_its_total(day: Answering, query: str, found: list[str]) -> None:
    answer = await asked(day, query.replace(" ", "%20"))
    assert [entry["operation_type"] for entry in answer["data"]] == found
    assert answer["total"] == len(found)
    pages = [
        (await asked(day, f"{query.replace(' ', '%20')}&page={page}&page_size=2"))["data"]
        for page in range(1, len(found) // 2 + 2)
    ]
    assert [entry for page in pages for entry in page] == answer["data"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("operation_type=EMAIL_READ", "operation_type"),
        ("operation_type=email_sent", "operation_type"),
        ("operation_type=", "operation_type"),
        ("actor=", "actor"),
        ("actor=a%00", "actor"),
        ("since=2026-03-01T08:20:00", "since"),
        ("until=yesterday", "until"),
        ("since=2026-03-02T00:00:00Z&until=2026-03-01T00:00:00Z", "until"),
        ("page=0", "page"),
        ("page_size=101", "page_size"),
        ("user=1", "user"),
        ("page=1&page=2", "page"),
    ],
)
async def test_bad_input_is_refused_naming_the_parameter(day: Answering, query: str, field: str) -> None:
    answer = await day.get(f"/api/audit-logs?{query}", scopes=AUDITOR)
    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (400, [field])


async def test_an_unknown_operation_is_told_the_known_ones(day: Answering) -> None:
    answer = await day.get("/api/audit-logs?operation_type=X", scopes=AUDITOR)
    assert all(name in answer.json["errors"][0]["message"] for name in NAMES)


async def test_any_text_is_an_actor(day: Answering) -> None:
    for text in ("'; DROP TABLE audit_entries; --", "%", "日本語", "a" * 2_000, "%(page)s", "{x}"):
        assert (await asked(day, f"actor={quote(text)}"))["total"] == 0


async def test_the_trail_needs_its_scope(day: Answering) -> None:
    refused = await day.get("/api/audit-logs", scopes=frozenset({"emails:read", "api_keys:read"}))
    assert (refused.status, refused.json["required_permission"]) == (403, "audit:read")


async def test_it_answers_at_once_whatever_the_caller_has_written(day: Answering) -> None:
    answer = await day.get("/api/audit-logs", scopes=AUDITOR, headers={"Temps-Position": "provider=99,email=99"})
    assert answer.status == 200
    assert day.checkpoints.waited == []


async def test_no_secret_is_in_the_trail_or_its_tables(filled: Database, day: Answering) -> None:
    assert CANARY in orjson.dumps([fact.data for fact in a_day().mail]).decode()
    assert CANARY not in orjson.dumps(await asked(day)).decode()
    for table in ("audit_entries", "audit_counts", "actor_names"):
        found = await rows(filled.owner_url, f"SELECT t::text FROM rm_audit.{table} t")  # noqa: S608 - our own names
        assert found
        assert CANARY not in str(found)


async def test_an_entry_outlives_what_it_tells_of(database: Database) -> None:
    """Once a fact is erased from the copy of the log, there is an entry without ip, user agent and details."""
    async with copies(database, "") as (copy,):
        await copy.apply(a_day().all())
        await copy.session.run("DELETE FROM log.facts")
        async with answering(database.owner_url) as day:
            entries = (await asked(day))["data"]
    assert [entry["operation_type"] for entry in entries] == EVERYTHING
    assert entries[3]["actor"] == {"kind": "key", "id": "key/1", "name": "First key"}
    assert {(entry["ip_address"], entry["user_agent"], len(entry["details"])) for entry in entries} == {(None, None, 0)}
