"""The audit trail: who changed what, from where."""

from typing import Annotated

from fastapi import Query
from pydantic import AfterValidator

from libs.common.web import Page, PageNumber, PageSize, requires, router
from services.analytics.api_context import Deps
from services.analytics.audit import list_audit as listing
from services.analytics.audit.rules import NAMES
from services.analytics.models import AuditEntry
from services.analytics.parameters import Since, Text, Until, slice_of
from services.analytics.shapes import audit_entry

lists = router()

READS = requires("audit:read")


def _known(name: str) -> str:
    if name not in NAMES:
        raise ValueError(f"must be one of {', '.join(NAMES)}")
    return name


OperationType = Annotated[str, AfterValidator(_known), Query(json_schema_extra={"enum": list(NAMES)})]
Actor = Annotated[Text, Query(description="An id (`key/1`, `user/1`, `sender`), or any name it ever had in any case")]


@lists.get("/api/audit-logs", dependencies=[READS])
async def list_audit_logs(
    deps: Deps,
    operation_type: OperationType | None = None,
    actor: Actor | None = None,
    since: Since | None = None,
    until: Until | None = None,
    page: PageNumber = 1,
    page_size: PageSize = 20,
) -> Page[AuditEntry]:
    """Who changed what, newest first; `total` is exact.

    Attempts and what came back are no changes: they are in an email's timeline.
    """
    part = slice_of(since, until)
    wanted = listing.AuditFilter(operation_type, actor, part.since, part.until)
    rows, total = await listing.list_audit(deps, wanted, page=page, page_size=page_size)
    entries = [audit_entry(row) for row in rows]
    return Page[AuditEntry].model_construct(data=entries, total=total, page=page, page_size=page_size)
