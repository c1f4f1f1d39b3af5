"""One page of the platform's events, newest first, and its figures.

Totals and figures come from maintained counters; only `recipient` is answered from rows, those of the emails to that
address.
"""

from typing import Any

from services.analytics.asking import asking
from services.analytics.context import Dependencies
from services.analytics.counts.counting import Counters, Slice, counted
from services.analytics.emails.tag_rules import tag_key
from services.analytics.postgres import Transaction

EVENT_TYPES = ("open", "click", "delivery", "bounce", "complaint")

_COUNTED_EVENTS = ", ".join(f"count(*) FILTER (WHERE event_type = '{name}') AS {name}" for name in EVENT_TYPES)
EVENT_COUNTERS = Counters(
    "event_counts",
    EVENT_TYPES,
    f"""
    SELECT {_COUNTED_EVENTS}
    FROM tracking_events e
    WHERE created_at >= %(since)s AND created_at < %(until)s
        AND (%(domain_id)s::bigint IS NULL OR domain_id = %(domain_id)s)
        AND (%(provider_id)s::bigint IS NULL OR provider_id = %(provider_id)s)
        AND (%(tag)s = '' OR EXISTS (
            SELECT FROM event_tags t WHERE t.tag = %(tag)s AND t.created_at = e.created_at AND t.id = e.id))
    """,  # noqa: S608 - the types are ours
)

# What the flags mean is said in fold.sql.
_OF_FLAGS = {
    "delivered": "flags & 3 = 1",
    "delivered_with_pixel": "flags & 131 = 129",
    "delivered_with_links": "flags & 259 = 257",
    "opened": "flags & 8 <> 0",
    "opened_by_any": "flags & 24 <> 0",
    "clicked": "flags & 32 <> 0",
    "clicked_by_any": "flags & 96 <> 0",
    "bounced": "flags & 2 <> 0",
    "complained": "flags & 4 <> 0",
}
_COUNTED_FLAGS = ", ".join(f"count(*) FILTER (WHERE {meaning}) AS {name}" for name, meaning in _OF_FLAGS.items())
_FLAG_ROWS = f"""
    SELECT {_COUNTED_FLAGS}
    FROM tracked_emails
    WHERE created_at >= %(since)s AND created_at < %(until)s
        AND (%(domain_id)s::bigint IS NULL OR domain_id = %(domain_id)s)
        AND (%(provider_id)s::bigint IS NULL OR provider_id = %(provider_id)s)
        AND (%(tag)s = '' OR %(tag)s = ANY (tags))
"""  # noqa: S608 - names and meanings are ours
FIGURES = Counters("figures", tuple(_OF_FLAGS), _FLAG_ROWS)

_TO_RECIPIENT = """email_id IN (
    SELECT r.email_id FROM recipients r WHERE lower(r.address) = lower(%(recipient)s) AND r.position IS NOT NULL)"""

_PAGE = """
SELECT e.id, e.email_id, e.event_type, e.recipient, e.link_index, e.link_url, e.ip_address, e.user_agent, e.machine,
    e.machine_reason, e.detail, e.created_at
FROM {tables}
WHERE {conditions}
ORDER BY {order}.created_at {direction}, {order}.id {direction}
LIMIT %(limit)s OFFSET %(offset)s
"""

_COUNT = "SELECT count(*) AS n FROM {tables} WHERE {conditions}"


async def list_events(
    deps: Dependencies, part: Slice, *, event_type: str | None, recipient: str | None, page: int, page_size: int
) -> tuple[list[dict[str, Any]], int]:
    """The events of the page and how many there are in all."""
    tables, conditions, order, parameters = _narrowed(part, event_type, recipient)
    pieces = {"tables": tables, "conditions": conditions, "order": order}
    async with asking(deps.database) as ask:
        total = await _total(ask, part, event_type, recipient, pieces, parameters)
        offset = (page - 1) * page_size
        if offset >= total:
            return [], total
        size = min(page_size, total - offset)
        from_the_end = offset > total // 2
        parameters |= {"limit": size, "offset": total - offset - size if from_the_end else offset}
        rows = await ask.fetch(_PAGE.format(direction="ASC" if from_the_end else "DESC", **pieces), parameters)
    return rows[::-1] if from_the_end else rows, total


async def read_figures(deps: Dependencies, part: Slice, *, recipient: str | None) -> dict[str, int]:
    """How many emails were delivered, opened and so on; `since` and `until` are about when they were accepted."""
    async with asking(deps.database) as ask:
        if recipient is None:
            return await counted(ask, FIGURES, part)
        parameters = {
            "domain_id": part.domain_id,
            "provider_id": part.provider_id,
            "tag": "" if part.tag is None else tag_key(part.tag),
            "recipient": recipient,
            "since": part.since,
            "until": part.until,
        }
        # The bounds may be open here; rows without created_at are emails that are not read yet.
        statement = _FLAG_ROWS.replace(
            "created_at >= %(since)s AND created_at < %(until)s",
            f"{_TO_RECIPIENT} AND created_at IS NOT NULL"
            " AND (%(since)s::timestamptz IS NULL OR created_at >= %(since)s)"
            " AND (%(until)s::timestamptz IS NULL OR created_at < %(until)s)",
        )
        return await ask.fetch_one(statement, parameters) or {}


async def _total(
    ask: Transaction,
    part: Slice,
    event_type: str | None,
    recipient: str | None,
    pieces: dict[str, str],
    parameters: dict[str, Any],
) -> int:
    if recipient is not None:
        row = await ask.fetch_one(_COUNT.format(**pieces), parameters)
        return int(row["n"]) if row else 0
    sums = await counted(ask, EVENT_COUNTERS, part)
    return sum(sums.values()) if event_type is None else sums[event_type]


def _narrowed(part: Slice, event_type: str | None, recipient: str | None) -> tuple[str, str, str, dict[str, Any]]:
    """Tables, conditions, the alias whose index gives the order, and parameters."""
    tagged = part.tag is not None
    order = "t" if tagged else "e"
    values = {
        "event_type": event_type,
        "domain_id": part.domain_id,
        "provider_id": part.provider_id,
        "since": part.since,
        "until": part.until,
        "tag": None if part.tag is None else tag_key(part.tag),
        "recipient": recipient,
    }
    conditions = {
        "event_type": "e.event_type = %(event_type)s",
        "domain_id": "e.domain_id = %(domain_id)s",
        "provider_id": "e.provider_id = %(provider_id)s",
        "since": f"{order}.created_at >= %(since)s",
        "until": f"{order}.created_at < %(until)s",
        "tag": "t.tag = %(tag)s",
        # A hit on a message to several people is everybody's; a bounce is only of whom it names.
        "recipient": f"e.{_TO_RECIPIENT} AND (e.recipient IS NULL OR lower(e.recipient) = lower(%(recipient)s))",
    }
    parameters = {name: value for name, value in values.items() if value is not None}
    tables = "tracking_events e"
    if tagged:
        tables = "event_tags t JOIN tracking_events e ON e.email_id = t.email_id AND e.id = t.id"
    return tables, " AND ".join(conditions[name] for name in parameters) or "true", order, parameters
