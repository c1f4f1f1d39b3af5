"""The same facts give the same tables, however they are split, repeated and interleaved; and the tables are right."""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from libs.common.facts import Envelope
from tests.backing import Database
from tests.support.history import BEGINNING as START
from tests.support.history import History, attempted, hit, new_id, random_history, submitted
from tests.support.naive import expected
from tests.support.read_models import Copy, copies

SEEDS = range(4)


def _split(history: History, random: Random) -> Iterator[list[Envelope]]:
    """Batches as a projector may take them: some of each stream, in order, some more than once."""
    mail, hits = list(history.mail), list(history.hits)
    while mail or hits:
        batch = []
        for stream in (mail, hits):
            taken = random.choice((0, 1, 3, 10))
            batch += stream[:taken]
            del stream[:taken]
        yield batch
        if random.random() < 0.2:
            yield batch


@pytest.mark.parametrize("seed", SEEDS)
async def test_neither_batches_nor_interleaving_nor_repeats_change_a_row(database: Database, seed: int) -> None:
    history = random_history(seed)
    async with copies(database, "", "_b", "_c", "_d") as (whole, one, other, hits_first):
        await whole.apply(history.all())
        for copy, splitting in ((one, 1), (other, 2)):
            for batch in _split(history, Random(seed * 10 + splitting)):  # noqa: S311 - repeatable
                await copy.apply(batch)
        await hits_first.apply(history.hits)
        for fact in history.mail:
            await hits_first.apply([fact])
        tables = await whole.tables()
        for copy in (one, other, hits_first):
            found = await copy.tables()
            assert found.keys() == tables.keys()
            for name in tables:
                assert _without_place(name, found[name]) == _without_place(name, tables[name]), (name, copy.suffix)


def _without_place(name: str, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The copy of the log is a table of its own, tested with the projector: which repeat came first is its matter."""
    return [] if name == "facts" else rows


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_tables_say_what_a_reader_of_all_facts_would_say(database: Database, seed: int) -> None:
    history = random_history(seed + 100)
    async with copies(database, "") as (copy,):
        for batch in _split(history, Random(seed)):  # noqa: S311 - repeatable
            await copy.apply(batch)
        said = expected(history)
        assert await _statuses(copy) == said.statuses
        assert await _recipients(copy) == said.recipients
        assert await _counts(copy) == said.status_counts
        assert await _figures(copy) == said.figures
        assert await _hits(copy) == said.hits
        assert await _events(copy) == said.events
        assert await _event_counts(copy) == said.event_counts


async def test_an_email_stores_a_thousand_hits_and_counts_the_rest(database: Database) -> None:
    history, email = History(), new_id(1)
    for number in range(1_010):
        history.add("email.opened.v1", email, START, **hit(f"192.0.2.{number % 7}"))
    history.add("email.accepted.v1", email, START, **submitted(pixel=True))
    async with copies(database, "", "_b") as (whole, waiting):
        await whole.apply(history.all())
        await waiting.apply(history.hits[:400])
        await waiting.apply(history.mail)
        await waiting.apply(history.hits[400:])
        assert await whole.tables() == await waiting.tables()
        rows = await whole.session.rows("SELECT stored, opens FROM rm_tracking.email_hits")
        assert rows == [(1_000, 1_010)]
        assert await whole.session.rows("SELECT count(*) FROM rm_tracking.tracking_events") == [(1_000,)]
        assert await whole.session.rows("SELECT open FROM rm_tracking.event_counts WHERE tier = 'all'") == [(1_000,)]


async def test_text_that_postgres_cannot_keep_stops_nothing(database: Database) -> None:
    history, email = History(), new_id(1)
    tags = [{"name": "n\0ul", "value": None}, {"name": "long" * 5_000, "value": None}, {"name": "", "value": None}]
    history.add("email.accepted.v1", email, START, **submitted(subject="a\0b", tags=tags, metadata={"k": "v\0"}))
    bounced = attempted({"ann@example.org": "bounced"})
    bounced["recipients"][0]["text"] = "no\0such user"
    history.add("email.bounced.v1", email, START, **bounced)
    opened = {**hit(), "user_agent": "a\0b"}
    history.add("email.opened.v1", email, START, **opened)
    async with copies(database, "") as (copy,):
        for fact in history.all():
            await copy.apply([fact])
        assert await copy.session.rows("SELECT subject FROM rm_emails.emails") == [("a\ufffdb",)]
        assert await copy.session.rows("SELECT count(*) FROM rm_emails.email_tags") == [(2,)]
        assert await copy.session.rows("SELECT detail FROM rm_emails.recipients") == [("no\ufffdsuch user",)]


async def _all(copy: Copy, statement: str) -> Sequence[tuple[Any, ...]]:
    return await copy.session.rows(statement)


async def _statuses(copy: Copy) -> dict[str, tuple[Any, ...]]:
    rows = await _all(
        copy,
        "SELECT email_id::text, status, provider_id, attempts, sent_at IS NOT NULL, delivered_at IS NOT NULL"
        " FROM rm_emails.email_states WHERE created_at IS NOT NULL",
    )
    return {row[0]: row[1:] for row in rows}


async def _recipients(copy: Copy) -> dict[tuple[str, str], tuple[Any, ...]]:
    rows = await _all(
        copy,
        "SELECT email_id::text, address, status, detail FROM rm_emails.recipients WHERE position IS NOT NULL",
    )
    return {(row[0], row[1]): row[2:] for row in rows}


async def _counts(copy: Copy) -> dict[tuple[Any, ...], int]:
    """(tier, domain, provider, tag, status) → emails; days and hours are added up."""
    found: dict[tuple[Any, ...], int] = {}
    names = ("queued", "failed", "bounced", "sent", "delivered", "captured")
    rows = await _all(
        copy,
        f"SELECT tier, domain_id, provider_id, tag, {', '.join(f'sum({name})::bigint' for name in names)}"  # noqa: S608
        " FROM rm_emails.email_counts GROUP BY 1, 2, 3, 4",
    )
    for tier, domain_id, provider_id, tag, *values in rows:
        for name, value in zip(names, values, strict=True):
            if value:
                found[tier, domain_id, provider_id, tag, name] = value
    return found


async def _figures(copy: Copy) -> dict[tuple[Any, ...], int]:
    names = (
        "delivered",
        "delivered_with_pixel",
        "delivered_with_links",
        "opened",
        "opened_by_any",
        "clicked",
        "clicked_by_any",
        "bounced",
        "complained",
    )
    rows = await _all(
        copy,
        f"SELECT tier, domain_id, provider_id, tag, {', '.join(f'sum({name})::bigint' for name in names)}"  # noqa: S608
        " FROM rm_tracking.figures GROUP BY 1, 2, 3, 4",
    )
    return {
        (tier, domain_id, provider_id, tag, name): value
        for tier, domain_id, provider_id, tag, *values in rows
        for name, value in zip(names, values, strict=True)
        if value
    }


async def _hits(copy: Copy) -> dict[str, tuple[Any, ...]]:
    rows = await _all(
        copy, "SELECT email_id::text, opens, machine_opens, clicks, machine_clicks FROM rm_tracking.email_hits"
    )
    return {row[0]: row[1:] for row in rows}


async def _events(copy: Copy) -> list[tuple[Any, ...]]:
    return sorted(
        await _all(
            copy,
            "SELECT email_id::text, event_type, coalesce(recipient, ''), coalesce(provider_id, 0)"
            " FROM rm_tracking.tracking_events",
        )
    )


async def _event_counts(copy: Copy) -> dict[tuple[Any, ...], int]:
    names = ("open", "click", "delivery", "bounce", "complaint")
    rows = await _all(
        copy,
        f"SELECT tier, domain_id, provider_id, tag, {', '.join(f'sum({name})::bigint' for name in names)}"  # noqa: S608
        " FROM rm_tracking.event_counts GROUP BY 1, 2, 3, 4",
    )
    return {
        (tier, domain_id, provider_id, tag, name): value
        for tier, domain_id, provider_id, tag, *values in rows
        for name, value in zip(names, values, strict=True)
        if value
    }
