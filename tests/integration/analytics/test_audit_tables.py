"""The tables of the audit trail: the same from any batches, and a page reads little of them."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from libs.common.facts import Envelope
from services.analytics.audit.list_audit import AuditFilter, page_statement
from services.analytics.audit.rules import NAMES
from services.analytics.postgres import Database as Pool
from services.analytics.projector import live_schemas
from tests.backing import Database
from tests.support.administration import a_day
from tests.support.read_models import MODELS, copies


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
