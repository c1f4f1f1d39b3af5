"""One page of emails, newest first, and how many there are in all.

`total` comes from maintained counters for every filter but addresses and subject; those are found by an index and
counted up to 10,000. A page far behind the first costs more the further it is, which the statement time-out bounds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.analytics.asking import asking
from services.analytics.context import Dependencies
from services.analytics.counts.counting import Counters, Slice, counted
from services.analytics.emails.status_rules import EMAIL_ORDER
from services.analytics.emails.tag_rules import tag_key
from services.analytics.postgres import Transaction

MOST_COUNTED = 10_000

_COUNTED_ROWS = ", ".join(f"count(*) FILTER (WHERE status = '{status}') AS {status}" for status in EMAIL_ORDER)
STATUS_COUNTERS = Counters(
    "email_counts",
    EMAIL_ORDER,
    f"""
    SELECT {_COUNTED_ROWS}
    FROM email_states
    WHERE created_at >= %(since)s AND created_at < %(until)s
        AND (%(domain_id)s::bigint IS NULL OR domain_id = %(domain_id)s)
        AND (%(provider_id)s::bigint IS NULL OR provider_id = %(provider_id)s)
        AND (%(tag)s = '' OR %(tag)s = ANY (tags))
    """,  # noqa: S608 - the statuses are ours
)

HITS = """
    coalesce(h.opens, 0) AS opens, coalesce(h.machine_opens, 0) AS machine_opens,
    coalesce(h.clicks, 0) AS clicks, coalesce(h.machine_clicks, 0) AS machine_clicks,
    h.first_opened_at, h.first_machine_opened_at, h.first_clicked_at, h.first_machine_clicked_at
"""

_PAGE = """
SELECT s.email_id, s.created_at, s.domain_id, s.provider_id, s.status, s.attempts, s.sent_at, s.delivered_at,
    s.provider_message_id, e.from_address, e.subject, e.submitted, {hits}
FROM (
    SELECT s.email_id
    FROM {tables}
    WHERE {conditions}
    ORDER BY {order}.created_at {direction}, {order}.email_id {direction}
    LIMIT %(limit)s OFFSET %(offset)s
) AS page
JOIN email_states s ON s.email_id = page.email_id
JOIN emails e ON e.email_id = page.email_id
LEFT JOIN email_hits h ON h.email_id = page.email_id
ORDER BY s.created_at DESC, s.email_id DESC
"""

_COUNT = "SELECT count(*) AS n FROM (SELECT 1 FROM {tables} WHERE {conditions} LIMIT %(most)s) AS found"

RECIPIENTS = """
SELECT email_id, address, kind, name, status, smtp_code, enhanced_status, detail, at
FROM recipients
WHERE email_id = ANY (%(email_ids)s) AND position IS NOT NULL
ORDER BY email_id, position
"""


@dataclass(frozen=True, slots=True)
class EmailFilter:
    """The filters of a list; None is no restriction."""

    part: Slice = field(default_factory=Slice)
    status: str | None = None
    from_address: str | None = None
    to_address: str | None = None
    subject: str | None = None

    def needs_counting(self) -> bool:
        """True if no maintained counter holds the total."""
        return self.from_address is not None or self.to_address is not None or self.subject is not None


async def list_emails(
    deps: Dependencies, wanted: EmailFilter, *, page: int, page_size: int
) -> tuple[list[dict[str, Any]], int]:
    """The rows of the page, each with its `recipients`, and the total."""
    query = _Query(wanted)
    async with asking(deps.database) as ask:
        total = await _total(ask, query)
        offset = (page - 1) * page_size
        if offset >= total and not (wanted.needs_counting() and total == MOST_COUNTED):
            return [], total
        parameters = query.parameters | {"limit": page_size, "offset": offset}
        direction = "DESC"
        if not wanted.needs_counting() and offset > total // 2:  # nearer from the other end
            direction = "ASC"
            size = min(page_size, total - offset)
            parameters |= {"limit": size, "offset": total - offset - size}
        rows = await ask.fetch(query.page(direction), parameters)
        await add_recipients(ask, rows)
    return rows, total


async def email_stats(deps: Dependencies, domain_id: int | None) -> dict[str, int]:
    """How many emails have which status."""
    async with asking(deps.database) as ask:
        return await counted(ask, STATUS_COUNTERS, Slice(domain_id=domain_id))


async def add_recipients(ask: Transaction, rows: list[dict[str, Any]]) -> None:
    """Give each email of `rows` its `recipients`, in the order of the request."""
    by_email: dict[Any, list[dict[str, Any]]] = {row["email_id"]: [] for row in rows}
    for person in await ask.fetch(RECIPIENTS, {"email_ids": list(by_email)}):
        by_email[person["email_id"]].append(person)
    for row in rows:
        row["recipients"] = by_email[row["email_id"]]


async def _total(ask: Transaction, query: "_Query") -> int:
    if query.wanted.needs_counting():
        row = await ask.fetch_one(query.count(), query.parameters | {"most": MOST_COUNTED})
        return int(row["n"]) if row else 0
    sums = await counted(ask, STATUS_COUNTERS, query.wanted.part)
    return sum(sums.values()) if query.wanted.status is None else sums.get(query.wanted.status, 0)


class _Query:
    """The tables and conditions of a filter; every value is a parameter."""

    def __init__(self, wanted: EmailFilter) -> None:
        self.wanted = wanted
        part = wanted.part
        self.parameters: dict[str, Any] = {
            name: value
            for name, value in (
                ("domain_id", part.domain_id),
                ("provider_id", part.provider_id),
                ("status", wanted.status),
                ("since", part.since),
                ("until", part.until),
                ("tag", None if part.tag is None else tag_key(part.tag)),
                ("from_address", wanted.from_address),
                ("to_address", wanted.to_address),
                ("subject", None if wanted.subject is None else f"%{_literal(wanted.subject)}%"),
            )
            if value is not None
        }

    def page(self, direction: str) -> str:
        """The statement for one page."""
        # The rows come out of an index in this order: the planner cannot know that the times are the same ones.
        order = next((alias for name, alias in _ORDERS.items() if name in self.parameters), "s")
        tables, conditions = self._narrowed("s", order)
        return _PAGE.format(tables=tables, conditions=conditions, order=order, direction=direction, hits=HITS)

    def count(self) -> str:
        """The statement that counts up to `most` rows, with no table that is not asked about."""
        asked = self.parameters.keys()
        base = "e" if asked & _OF_EMAILS and not asked & _OF_STATES else "s"
        tables, conditions = self._narrowed(base, base)
        return _COUNT.format(tables=tables, conditions=conditions)

    def _narrowed(self, base: str, order: str) -> tuple[str, str]:
        joins = [_TABLES[base], *(_JOINS[name] for name in self.parameters if name in _JOINS)]
        if base == "s" and self.parameters.keys() & _OF_EMAILS:
            joins.append("JOIN emails e ON e.email_id = s.email_id")
        conditions = ["{base}.created_at IS NOT NULL", *(_CONDITIONS[name] for name in self.parameters)]
        pieces = {"base": base, "order": order}
        return " ".join(joins).format(**pieces), " AND ".join(conditions).format(**pieces)


_TABLES: Mapping[str, str] = {"s": "email_states s", "e": "emails e"}
_OF_EMAILS = frozenset({"from_address", "subject"})
_OF_STATES = frozenset({"domain_id", "provider_id", "status"})
_JOINS: Mapping[str, str] = {"tag": "JOIN email_tags t ON t.email_id = {base}.email_id"}
_ORDERS: Mapping[str, str] = {"tag": "t", "from_address": "e"}
_CONDITIONS: Mapping[str, str] = {
    "domain_id": "s.domain_id = %(domain_id)s",
    "provider_id": "s.provider_id = %(provider_id)s",
    "status": "s.status = %(status)s",
    "since": "{order}.created_at >= %(since)s",
    "until": "{order}.created_at < %(until)s",
    "tag": "t.tag = %(tag)s",
    "from_address": "lower(e.from_address) = lower(%(from_address)s)",
    "to_address": (
        "{base}.email_id IN (SELECT r.email_id FROM recipients r"
        " WHERE lower(r.address) = lower(%(to_address)s) AND r.position IS NOT NULL)"
    ),
    "subject": "e.subject ILIKE %(subject)s",
}


def _literal(text: str) -> str:
    """For LIKE, whose escape is the backslash."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
