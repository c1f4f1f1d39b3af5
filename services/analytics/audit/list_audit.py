"""One page of the audit trail, newest first, and how many entries there are in all.

The total is always exact and comes from maintained counters. The page is merged from one short index scan for each
operation (and each actor that is meant), so its cost does not depend on how many other entries lie between.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.common.facts import upcast
from services.analytics.asking import asking
from services.analytics.audit.rules import EMAIL_SENT, NAMES, OPERATIONS
from services.analytics.context import Dependencies
from services.analytics.counts.counting import of_tiers
from services.analytics.counts.span_rules import spans
from services.analytics.postgres import Transaction

# A key and a user are found by every name they ever had.
_ACTORS = """
SELECT %(actor)s AS actor
UNION
SELECT actor FROM actor_names WHERE lower(name) = lower(%(actor)s)
"""

_PAGE = """
SELECT p.id, p.created_at, p.operation, p.actor, p.kind, f.type, f.caller, f.data, f.email_id, e.from_address,
    e.recipient_count,
    coalesce(
        (SELECT n.name FROM actor_names n
        WHERE n.actor = p.actor AND n.since <= p.created_at ORDER BY n.since DESC LIMIT 1),
        (SELECT n.name FROM actor_names n WHERE n.actor = p.actor ORDER BY n.since LIMIT 1)
    ) AS name
FROM (
    SELECT a.id, a.created_at, a.operation, a.actor, a.kind
    FROM {scans}
    CROSS JOIN LATERAL (
        SELECT x.id, x.created_at, x.operation, x.actor, x.kind
        FROM audit_entries x
        WHERE {conditions}
        ORDER BY x.created_at {order}, x.id {direction}
        LIMIT %(reach)s
    ) AS a
    ORDER BY a.created_at {direction}, a.id {direction}
    LIMIT %(limit)s OFFSET %(offset)s
) AS p
LEFT JOIN LATERAL ( -- an email's own data may be a megabyte of links: what is needed of it is in its read model
    SELECT facts.type, facts.actor AS caller, facts.email_id,
        CASE WHEN facts.email_id IS NULL THEN facts.data END AS data
    FROM facts
    WHERE facts.id = p.id::text
    LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
    SELECT emails.from_address, (
            SELECT count(*) FROM recipients r WHERE r.email_id = emails.email_id AND r.position IS NOT NULL
        ) AS recipient_count
    FROM emails
    WHERE emails.email_id = f.email_id
    LIMIT 1
) AS e ON true
ORDER BY p.created_at DESC, p.id DESC
"""

_SCANS_OF_OPERATIONS = "unnest(%(operations)s::text[]) AS o (operation)"
_SCANS_OF_ACTORS = f"{_SCANS_OF_OPERATIONS} CROSS JOIN unnest(%(actors)s::text[]) AS w (actor)"

_COUNTERS = "SELECT coalesce(sum(n), 0)::bigint AS n FROM audit_counts WHERE {conditions}"
_ROWS = "SELECT count(*) AS n FROM audit_entries WHERE {conditions}"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """The filters of the trail; None is no restriction. `actor` is an id or a name."""

    operation: str | None = None
    actor: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def list_audit(
    deps: Dependencies, wanted: AuditFilter, *, page: int, page_size: int
) -> tuple[list[dict[str, Any]], int]:
    """The page's entries with `actor_name`, `caller` (the fact's actor) and `details`, and the total."""
    parameters: dict[str, Any] = {"operations": list(NAMES) if wanted.operation is None else [wanted.operation]}
    async with asking(deps.database) as ask:
        if wanted.actor is not None:
            found = await ask.fetch(_ACTORS, {"actor": wanted.actor})
            parameters["actors"] = [row["actor"] for row in found]
        total = await _total(ask, wanted, parameters)
        offset = (page - 1) * page_size
        if offset >= total:
            return [], total
        size = min(page_size, total - offset)
        from_the_end = offset > total // 2
        skipped = total - offset - size if from_the_end else offset
        parameters |= {"limit": size, "offset": skipped, "reach": skipped + size}
        rows = await ask.fetch(page_statement(wanted, ascending=from_the_end), parameters | _bounds(wanted))
    return [row | {"details": _details(row)} for row in rows], total


async def _total(ask: Transaction, wanted: AuditFilter, parameters: Mapping[str, Any]) -> int:
    narrowed = ["operation = ANY (%(operations)s)"]
    if wanted.actor is not None:
        narrowed.append("actor = ANY (%(actors)s)")
    stretch = spans(wanted.since, wanted.until)
    total = 0
    if stretch.counted:
        tiers, values = of_tiers(stretch)
        statement = _COUNTERS.format(conditions=" AND ".join([tiers, *narrowed]))
        total += _number(await ask.fetch_one(statement, {**parameters, **values}))
    for since, until in stretch.ends:
        conditions = [*narrowed, "created_at >= %(since)s", "created_at < %(until)s"]
        statement = _ROWS.format(conditions=" AND ".join(conditions))
        total += _number(await ask.fetch_one(statement, {**parameters, "since": since, "until": until}))
    return total


def page_statement(wanted: AuditFilter, *, ascending: bool) -> str:
    """One page, skipping `offset` from the newest, or from the oldest when `ascending`; rows newest first."""
    conditions = ["x.operation = o.operation"]
    if wanted.actor is not None:
        conditions.append("x.actor = w.actor")
    conditions += [f"x.created_at {comparison} %({name})s" for name, comparison in _BOUNDS if getattr(wanted, name)]
    order, of_actor = _ORDERS[ascending]
    return _PAGE.format(
        order=order if wanted.actor is None else of_actor,
        scans=_SCANS_OF_OPERATIONS if wanted.actor is None else _SCANS_OF_ACTORS,
        conditions=" AND ".join(conditions),
        direction="ASC" if ascending else "DESC",
    )


_ORDERS = {True: ("ASC", "ASC NULLS FIRST"), False: ("DESC", "DESC NULLS LAST")}
"""Ascending → the order of the primary key, and that of the index of actors (fold.sql)."""

_BOUNDS = (("since", ">="), ("until", "<"))


def _bounds(wanted: AuditFilter) -> dict[str, Any]:
    return {name: value for name, _ in _BOUNDS if (value := getattr(wanted, name)) is not None}


def _details(row: Mapping[str, Any]) -> dict[str, Any]:
    """The details of an operation; empty if its fact no longer exists."""
    if row["operation"] == EMAIL_SENT:
        return _OF_EMAIL(row) if row["email_id"] is not None else {}
    if row["data"] is None:
        return {}
    type_, data = upcast(row["type"], row["data"])
    return OPERATIONS[type_].details(data)


_OF_EMAIL = OPERATIONS["email.accepted.v1"].details


def _number(row: Mapping[str, Any] | None) -> int:
    return int(row["n"]) if row else 0
