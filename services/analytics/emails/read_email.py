"""One email as its detail shows it: the row, its recipients, and the bodies from the content stream."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.analytics.asking import asking
from services.analytics.context import Dependencies
from services.analytics.emails.list_emails import HITS, add_recipients
from services.analytics.emails.read_content import read_content
from services.analytics.freshness import found

MODEL = "emails"

_ONE = f"""
SELECT s.email_id, s.created_at, s.domain_id, s.provider_id, s.status, s.attempts, s.sent_at, s.delivered_at,
    s.provider_message_id, e.from_address, e.subject, e.submitted, {HITS}
FROM email_states s
JOIN emails e ON e.email_id = s.email_id
LEFT JOIN email_hits h ON h.email_id = s.email_id
WHERE s.email_id = %(email_id)s AND s.created_at IS NOT NULL
"""  # noqa: S608 - put together from our own text


async def read_email(deps: Dependencies, email_id: UUID) -> dict[str, Any]:
    """The row with its `recipients` and its `content` (None when that cannot be read). Raises NotFoundError."""

    async def ask() -> dict[str, Any] | None:
        async with asking(deps.database) as question:
            row = await question.fetch_one(_ONE, {"email_id": email_id})
            if row is not None:
                await add_recipients(question, [row])
        return row

    row = await found(deps, email_id, MODEL, ask)
    reference = row["submitted"]["content"]
    row["content"] = await read_content(deps.bus, email_id, reference, now=datetime.now(UTC))
    return row
