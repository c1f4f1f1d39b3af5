"""Figures from maintained counters: the cost of a question does not grow with history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.analytics.counts.span_rules import EVERYTHING, Spans, spans
from services.analytics.emails.tag_rules import EVERYTHING as EVERY_TAG
from services.analytics.emails.tag_rules import tag_key
from services.analytics.postgres import Transaction

NO_DIMENSION = 0
"""Stands in counters for an email without a domain or provider."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Which part of the platform is asked about; None is no restriction."""

    domain_id: int | None = None
    provider_id: int | None = None
    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Counters:
    """A table of counters, and how its columns are counted from single rows in the hours that are cut."""

    table: str
    columns: Sequence[str]
    rows: str
    """SELECT … FROM … WHERE …, one value for each column; takes `since`, `until` and the slice's parameters."""


async def counted(ask: Transaction, counters: Counters, part: Slice) -> dict[str, int]:
    """Each column's sum over the slice."""
    stretch = spans(part.since, part.until)
    parameters = {
        "domain_id": part.domain_id,
        "provider_id": part.provider_id,
        "tag": EVERY_TAG if part.tag is None else tag_key(part.tag),
    }
    sums = dict.fromkeys(counters.columns, 0)
    if stretch.counted:
        row = await ask.fetch_one(*_sum_of_counters(counters, part, parameters))
        _add(sums, row)
    for since, until in stretch.ends:
        _add(sums, await ask.fetch_one(counters.rows, {**parameters, "since": since, "until": until}))
    return sums


def of_tiers(stretch: Spans) -> tuple[str, dict[str, Any]]:
    """The condition for the counters that make up the stretch, and its parameters; it must have some."""
    if stretch == EVERYTHING:
        return "tier = 'all'", {}
    values: dict[str, Any] = {}
    pieces = []
    for number, piece in enumerate(stretch.counted):
        values |= {f"tier{number}": piece.tier, f"since{number}": piece.since, f"until{number}": piece.until}
        pieces.append(f"(tier = %(tier{number})s AND start >= %(since{number})s AND start < %(until{number})s)")
    return f"({' OR '.join(pieces)})", values


def _sum_of_counters(counters: Counters, part: Slice, parameters: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    tiers, values = of_tiers(spans(part.since, part.until))
    values |= parameters
    sums = ", ".join(f"coalesce(sum({column}), 0)::bigint AS {column}" for column in counters.columns)
    where = ["tag = %(tag)s", tiers]
    if part.domain_id is not None:
        where.append("domain_id = %(domain_id)s")
    if part.provider_id is not None:
        where.append("provider_id = %(provider_id)s")
    # Table and columns are ours, values are parameters.
    return f"SELECT {sums} FROM {counters.table} WHERE {' AND '.join(where)}", values  # noqa: S608


def _add(sums: dict[str, int], row: dict[str, Any] | None) -> None:
    for column, value in (row or {}).items():
        sums[column] += value or 0
