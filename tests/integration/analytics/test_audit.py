"""The audit trail: which facts are entries, who is named, and how the list is asked."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from libs.common.events import Actor, Envelope, Fact
from libs.common.events.domain import DomainCreated, DomainDeleted, DomainVerificationFailed
from libs.common.events.key import KeyCreated, KeyDeleted
from libs.common.events.provider import (
    ProviderCreated,
    ProviderDeleted,
    ProviderStopped,
    ProviderTested,
    ProviderUpdated,
    Stopped,
)
from libs.common.events.user import UserCreated, UserUpdated
from libs.common.postgres import Database as Pool
from libs.common.projector import live_schemas
from services.analytics.domain.audit import NAMES
from services.analytics.handlers.list_audit import AuditFilter, page_statement
from tests.backing import Database, PostgresServer, new_database
from tests.support.administration import CANARY, domain, key, provider, user
from tests.support.answering import Answering, answering
from tests.support.history import BEGINNING, History, attempted, hit, new_id, submitted
from tests.support.projecting import rows
from tests.support.read_models import MODELS, copies

GATEWAY = Actor(id="gateway", kind="system")
SENDER = Actor(id="sender", kind="system")
ANN = Actor(id="user/1", kind="session", user_id=1, ip="192.0.2.1", user_agent="a browser")
KEY = Actor(id="key/1", kind="key", user_id=1, ip="192.0.2.9", user_agent="curl/8")
EMAIL, CAPTURED = new_id(1), new_id(2)
AUDITOR = frozenset({"audit:read"})


def minute(number: int) -> datetime:
    return BEGINNING + timedelta(minutes=number)


def a_day() -> History:
    """A minute between two facts; the name of the user changes in between."""
    history = History()
    tested = ProviderTested(
        provider=provider(), recipient_email="ann@example.org", success=False, error="535 no", provider_message_id=None
    )
    before: list[tuple[Fact, Actor]] = [
        (UserCreated(user=user()), GATEWAY),
        (KeyCreated(key=key()), GATEWAY),
        (ProviderCreated(provider=provider()), ANN),
        (UserUpdated(user=user(name="Ann"), changed_fields=["name"]), ANN),
        (ProviderUpdated(provider=provider(), changed_fields=["name", "smtp_credentials.password"]), ANN),
        (tested, KEY),
        (ProviderStopped(provider=provider(stopped=Stopped(reason="login", at=BEGINNING))), SENDER),
        (DomainCreated(domain=domain()), KEY),
        (DomainVerificationFailed(domain=domain(status="failed", verification_error="no SPF")), KEY),
    ]
    after: list[tuple[Fact, Actor]] = [
        (DomainDeleted(domain=domain()), ANN),
        (ProviderDeleted(provider=provider(), forced=False), ANN),
        (KeyDeleted(key=key()), ANN),
    ]
    for number, (fact, actor) in enumerate(before):
        history.note(fact, minute(number), actor)
    people = ["a@example.org", "b@example.org"]
    history.add("email.accepted.v1", EMAIL, minute(10), by=KEY, **submitted(people, subject=CANARY))
    history.add("email.sent.v1", EMAIL, minute(11), **attempted(dict.fromkeys(people, "accepted")))
    history.add("email.captured.v1", CAPTURED, minute(12), by=KEY, **submitted(provider_id=None, domain_id=None))
    for number, (fact, actor) in enumerate(after):
        history.note(fact, minute(20 + number), actor)
    history.add("email.opened.v1", EMAIL, minute(60), **hit())
    return history


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


def _split(facts: list[Envelope], random: Random) -> Iterator[list[Envelope]]:
    """Batches as a projector may take them: in order, some more than once."""
    while facts:
        size = random.choice((1, 2, 3, 10))
        yield facts[:size]
        if random.random() < 0.3:
            yield facts[:size]
        del facts[:size]


@pytest.mark.parametrize("seed", range(3))
async def test_neither_batches_nor_repeats_change_a_row(database: Database, seed: int) -> None:
    history, random = a_day(), Random(seed)  # noqa: S311 - repeatable
    for fact in random.sample(history.mail, 6):
        history.again(fact)
    async with copies(database, "", "_b", "_c", "_d") as (once, *others):
        await once.apply(a_day().all())
        tables = await once.tables()
        for copy in others:
            for batch in _split(history.all(), random):
                await copy.apply(batch)
            found = await copy.tables()
            for name in ("audit_entries", "audit_counts"):
                assert found[name] == tables[name], (name, copy.suffix)
        # Of the names even the sequence is the same in all that have read the same facts.
        assert len({str((await copy.tables())["actor_names"]) for copy in others}) == 1


ROWS = 200_000
_MANY = f"""
INSERT INTO rm_audit.audit_entries
SELECT md5(i::text)::uuid, timestamptz '2026-01-01Z' + i * interval '10 s',
    CASE WHEN i % 5000 = 0 THEN 'EMAIL_DOMAIN_VERIFIED' WHEN i < 3 THEN 'API_KEY_CREATED' ELSE 'EMAIL_SENT' END,
    CASE WHEN i % 50000 = 7 THEN 'user/9' ELSE 'key/' || i % 5 END, 'key'
FROM generate_series(1, {ROWS}) i;
ANALYZE rm_audit.audit_entries;
"""  # noqa: S608 - a number of ours


@pytest.mark.parametrize("ascending", [False, True])
async def test_a_page_reads_few_blocks_of_a_long_history(database: Database, *, ascending: bool) -> None:
    day = datetime(2026, 1, 10, tzinfo=UTC)
    wanted = [
        AuditFilter(),
        *(AuditFilter(operation) for operation in ("EMAIL_SENT", "EMAIL_DOMAIN_VERIFIED", "API_KEY_CREATED")),
        *(AuditFilter(actor=actor) for actor in ("key/1", "user/9", "nobody")),
        AuditFilter("API_KEY_CREATED", "key/1"),
        AuditFilter("EMAIL_SENT", "user/9"),
        AuditFilter(since=day, until=day + timedelta(days=1)),
        AuditFilter("EMAIL_DOMAIN_VERIFIED", "key/0", until=day),
    ]
    async with copies(database, "") as (copy,):
        await copy.session.run(_MANY, patience=60)
    async with database_pool(database) as pool, pool.transaction() as ask:
        whole = await ask.fetch_one("SELECT pg_relation_size('audit_entries') / 8192 AS blocks")
        assert whole is not None
        assert whole["blocks"] > 1_500
        for each in wanted:
            parameters = {
                "operations": [each.operation] if each.operation else list(NAMES),
                "actors": [each.actor],
                "since": each.since,
                "until": each.until,
                "limit": 20,
                "offset": 20,
                "reach": 40,
            }
            statement = page_statement(each, ascending=ascending)
            explained = await ask.fetch_one(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
            assert explained is not None
            plan = explained["QUERY PLAN"][0]["Plan"]
            assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 500, (each, plan)


@asynccontextmanager
async def database_pool(database: Database) -> AsyncIterator[Pool]:
    pool = Pool(database.owner_url, name="test", search_path=live_schemas(MODELS))
    await pool.open()
    try:
        yield pool
    finally:
        await pool.close()
