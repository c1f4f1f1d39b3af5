"""Tracking of one email: counts, links, events, and all of its facts in order."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from libs.common.jetstream.streams import LOG
from services.analytics.asking import asking
from services.analytics.context import Dependencies
from services.analytics.freshness import found

MODEL = "tracking"

MOST_FACTS = 10_000
"""Of a timeline; nobody reads further, and one flood of hits must not fill the memory."""

_EMAIL = """
SELECT t.email_id, t.flags & 512 <> 0 AS track_opens, t.flags & 1024 <> 0 AS track_clicks, l.links,
    coalesce(h.opens, 0) AS opens, coalesce(h.machine_opens, 0) AS machine_opens,
    coalesce(h.clicks, 0) AS clicks, coalesce(h.machine_clicks, 0) AS machine_clicks,
    h.first_opened_at, h.first_machine_opened_at, h.first_clicked_at, h.first_machine_clicked_at
FROM tracked_emails t
LEFT JOIN email_links l ON l.email_id = t.email_id
LEFT JOIN email_hits h ON h.email_id = t.email_id
WHERE t.email_id = %(email_id)s AND t.created_at IS NOT NULL
"""

# At most 1,000 hits of an email are stored: this reads a bounded number of rows.
_UNIQUE_OF_EMAIL = """
SELECT event_type, count(DISTINCT ip_address) AS visitors
FROM tracking_events
WHERE email_id = %(email_id)s AND event_type IN ('open', 'click') AND (%(machines)s OR NOT machine)
GROUP BY event_type
"""

_UNIQUE_OF_LINKS = """
SELECT link_index, count(DISTINCT ip_address) AS visitors
FROM tracking_events
WHERE email_id = %(email_id)s AND event_type = 'click' AND (%(machines)s OR NOT machine)
GROUP BY link_index
"""

_CLICKS = "SELECT link_index, clicks, machine_clicks FROM link_hits WHERE email_id = %(email_id)s"

_EVENTS = """
SELECT id, email_id, event_type, recipient, link_index, link_url, ip_address, user_agent, machine, machine_reason,
    detail, created_at
FROM tracking_events
WHERE email_id = %(email_id)s AND (%(event_type)s::text IS NULL OR event_type = %(event_type)s)
ORDER BY created_at, id
"""

_TIMELINE = """
SELECT id, stream, sequence, type, time, actor, data
FROM facts
WHERE email_id = %(email_id)s
ORDER BY time, array_position(%(streams)s::text[], stream), sequence
LIMIT %(most)s
"""


async def read_tracking(deps: Dependencies, email_id: UUID) -> dict[str, Any]:
    """Counts of the email and of each of its links. Raises NotFoundError."""
    parameters = {"email_id": email_id, "machines": deps.count_machines}

    async def ask() -> dict[str, Any] | None:
        async with asking(deps.database) as question:
            row = await question.fetch_one(_EMAIL, {"email_id": email_id})
            if row is None:
                return None
            visitors = {
                each["event_type"]: each["visitors"] for each in await question.fetch(_UNIQUE_OF_EMAIL, parameters)
            }
            row["unique_opens"], row["unique_clicks"] = visitors.get("open", 0), visitors.get("click", 0)
            of_links = {
                each["link_index"]: each["visitors"] for each in await question.fetch(_UNIQUE_OF_LINKS, parameters)
            }
            clicks = {
                each["link_index"]: each["clicks"] + (each["machine_clicks"] if deps.count_machines else 0)
                for each in await question.fetch(_CLICKS, {"email_id": email_id})
            }
            row["links"] = [
                {
                    "link_index": index,
                    "original_url": url,
                    "click_count": clicks.get(index, 0),
                    "unique_clicks": of_links.get(index, 0),
                }
                for index, url in enumerate(row["links"] or [])
            ]
        return row

    return await found(deps, email_id, MODEL, ask)


def headline(row: Mapping[str, Any], *, count_machines: bool) -> dict[str, Any]:
    """The four figures that an email shows: hits of machines are left out, unless everything counts."""
    if not count_machines:
        return {
            "open_count": row["opens"],
            "click_count": row["clicks"],
            "first_opened_at": row["first_opened_at"],
            "first_clicked_at": row["first_clicked_at"],
        }
    return {
        "open_count": row["opens"] + row["machine_opens"],
        "click_count": row["clicks"] + row["machine_clicks"],
        "first_opened_at": _first(row["first_opened_at"], row["first_machine_opened_at"]),
        "first_clicked_at": _first(row["first_clicked_at"], row["first_machine_clicked_at"]),
    }


async def read_events(deps: Dependencies, email_id: UUID, event_type: str | None) -> list[dict[str, Any]]:
    """The email's events, oldest first. Raises NotFoundError."""

    async def ask() -> list[dict[str, Any]] | None:
        async with asking(deps.database) as question:
            if await question.fetch_one(_EMAIL, {"email_id": email_id}) is None:
                return None
            return await question.fetch(_EVENTS, {"email_id": email_id, "event_type": event_type})

    return await found(deps, email_id, MODEL, ask)


async def read_timeline(deps: Dependencies, email_id: UUID) -> list[dict[str, Any]]:
    """Every fact of the email, oldest first. Raises NotFoundError."""
    parameters = {"email_id": email_id, "streams": list(LOG), "most": MOST_FACTS}

    async def ask() -> list[dict[str, Any]] | None:
        async with asking(deps.database) as question:
            return await question.fetch(_TIMELINE, parameters) or None

    return await found(deps, email_id, "facts", ask)


def _first(one: Any, other: Any) -> Any:
    return min((at for at in (one, other) if at is not None), default=None)
