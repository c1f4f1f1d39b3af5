"""Questions about what came back: of one email, and of the platform."""

from libs.common.web import EmailId, PageNumber, PageSize, QueryId, requires, router
from services.analytics.api_context import Deps, after_own_writes
from services.analytics.events import list_events as listing
from services.analytics.events import read_tracking
from services.analytics.events.rate_rules import rates
from services.analytics.models import EmailTracking, TrackingEvent, TrackingEventPage, TrackingStats
from services.analytics.parameters import EventTypeParameter, Since, Tag, Text, Until, event_type_of, slice_of
from services.analytics.shapes import event

lists = router()
"""Routes with literal paths: they are looked at before those with an id."""

details = router()

READS = requires("emails:read")


@lists.get("/api/emails/events", dependencies=[READS])
async def get_tracking_events(  # noqa: PLR0913, PLR0917 - one argument for each filter of the contract
    deps: Deps,
    event_type: EventTypeParameter | None = None,
    since: Since | None = None,
    until: Until | None = None,
    domain_id: QueryId | None = None,
    provider_id: QueryId | None = None,
    tag: Tag | None = None,
    recipient: Text | None = None,
    page: PageNumber = 1,
    page_size: PageSize = 20,
) -> TrackingEventPage:
    """Events of all emails, newest first. `recipient` finds those of emails to that address."""
    rows, total = await listing.list_events(
        deps,
        slice_of(since, until, domain_id, provider_id, tag),
        event_type=event_type_of(event_type),
        recipient=recipient,
        page=page,
        page_size=page_size,
    )
    events = [event(row) for row in rows]
    return TrackingEventPage.model_construct(events=events, total=total, page=page, page_size=page_size)


@lists.get("/api/emails/events/stats", dependencies=[READS])
async def get_tracking_stats(
    deps: Deps,
    since: Since | None = None,
    until: Until | None = None,
    domain_id: QueryId | None = None,
    provider_id: QueryId | None = None,
    tag: Tag | None = None,
    recipient: Text | None = None,
) -> TrackingStats:
    """How many emails were delivered, opened, clicked, bounced and complained about, and the rates between them.

    `since` and `until` are about the emails' `created_at`, so that figures of one stretch are about the same emails.
    """
    part = slice_of(since, until, domain_id, provider_id, tag)
    figures = await listing.read_figures(deps, part, recipient=recipient)
    return TrackingStats.model_validate(rates(figures, count_machines=deps.count_machines))


@details.get("/api/emails/{id}/tracking", dependencies=[READS, after_own_writes(read_tracking.MODEL)])
async def get_email_tracking(deps: Deps, id: EmailId) -> EmailTracking:
    """Counts of one email and of each of its links."""
    row = await read_tracking.read_tracking(deps, id)
    return EmailTracking(
        email_id=row["email_id"],
        track_opens=row["track_opens"],
        track_clicks=row["track_clicks"],
        unique_opens=row["unique_opens"],
        unique_clicks=row["unique_clicks"],
        machine_opens=row["machine_opens"],
        machine_clicks=row["machine_clicks"],
        links=row["links"],
        **read_tracking.headline(row, count_machines=deps.count_machines),
    )


@details.get("/api/emails/{id}/tracking/events", dependencies=[READS, after_own_writes(read_tracking.MODEL)])
async def get_email_tracking_events(
    deps: Deps, id: EmailId, event_type: EventTypeParameter | None = None
) -> list[TrackingEvent]:
    """The email's events, oldest first."""
    return [event(row) for row in await read_tracking.read_events(deps, id, event_type_of(event_type))]
