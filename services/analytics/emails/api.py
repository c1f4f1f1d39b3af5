"""Questions about emails: the list, one email, and how many have which status."""

from fastapi import APIRouter

from libs.common.errors import NotFoundError
from libs.common.web import EmailId, Page, PageNumber, PageSize, QueryId, requires, router
from services.analytics.api_context import Deps, after_own_writes
from services.analytics.emails import list_emails as listing
from services.analytics.emails import read_email
from services.analytics.emails.status_rules import ALL_STATUSES
from services.analytics.events import read_tracking
from services.analytics.models import Email, EmailStats, EmailSummary, Status, TimelineEntry
from services.analytics.parameters import Since, Tag, Text, Until, slice_of
from services.analytics.shapes import email, entry, summary

lists = router()
"""Routes with literal paths: they are looked at before those with an id."""

details = router()

missing = APIRouter()
"""Parts of the contract that come later: any question to them is answered 404."""

READS = requires("emails:read")


@lists.get("/api/emails", dependencies=[READS])
async def list_emails(  # noqa: PLR0913, PLR0917 - one argument for each filter of the contract
    deps: Deps,
    domain_id: QueryId | None = None,
    provider_id: QueryId | None = None,
    status: Status | None = None,
    from_address: Text | None = None,
    to_address: Text | None = None,
    tag: Tag | None = None,
    subject: Text | None = None,
    since: Since | None = None,
    until: Until | None = None,
    page: PageNumber = 1,
    page_size: PageSize = 20,
) -> Page[EmailSummary]:
    """Emails, newest first.

    `to_address` finds every recipient, also Cc and Bcc; `subject` finds what contains it, in any case; `since` and
    `until` are about `created_at`. `total` is exact, but at most 10,000 with `from_address`, `to_address`, `subject`.
    """
    wanted = listing.EmailFilter(
        slice_of(since, until, domain_id, provider_id, tag), status, from_address, to_address, subject
    )
    rows, total = await listing.list_emails(deps, wanted, page=page, page_size=page_size)
    shown = [summary(row, count_machines=deps.count_machines) for row in rows]
    return Page[EmailSummary].model_construct(data=shown, total=total, page=page, page_size=page_size)


@lists.get("/api/emails/stats", dependencies=[READS])
async def get_email_stats(deps: Deps, domain_id: QueryId | None = None) -> EmailStats:
    """Each email once under its status."""
    sums = await listing.email_stats(deps, domain_id)
    return EmailStats(total=sum(sums.values()), **{name: sums.get(name, 0) for name in ALL_STATUSES})


@missing.get("/api/emails/metrics", include_in_schema=False)
async def get_email_metrics() -> None:
    """Not built yet; without this it would be taken for a malformed id."""
    raise NotFoundError("There is nothing at this address.")


@details.get("/api/emails/{id}", dependencies=[READS, after_own_writes(read_email.MODEL)])
async def get_email(deps: Deps, id: EmailId) -> Email:
    """One email with its bodies; found directly after it was accepted."""
    return email(await read_email.read_email(deps, id), count_machines=deps.count_machines)


@details.get("/api/emails/{id}/timeline", dependencies=[READS, after_own_writes("facts")])
async def get_email_timeline(deps: Deps, id: EmailId) -> list[TimelineEntry]:
    """Every fact of the email, oldest first."""
    return [entry(row) for row in await read_tracking.read_timeline(deps, id)]
