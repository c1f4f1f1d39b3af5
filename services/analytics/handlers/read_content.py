"""An email's bodies, out of the content stream at the time of asking: they are never copied to Postgres."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.bus import Bus, BusError
from libs.common.content import EMAIL_ID_HEADER, Content, ContentError, decode_content, sha256_of
from libs.common.streams import CONTENT

log = logging.getLogger(__name__)

PATIENCE = 2.0


async def read_content(bus: Bus, email_id: UUID, reference: Mapping[str, Any], *, now: datetime) -> Content | None:
    """What the fact's reference names; None when it has expired, is lost, or JetStream is away.

    A lost tail lets the stream use sequences again: somebody else's bodies must never be shown.
    """
    expires_at = reference.get("expires_at")
    if expires_at is not None and datetime.fromisoformat(expires_at) <= now:
        return None
    try:
        async with asyncio.timeout(PATIENCE):
            message = await bus.direct_get(CONTENT, reference["sequence"])
    except (BusError, TimeoutError) as error:
        log.warning("content of %s cannot be read: %s", email_id, error)
        return None
    if message is None:
        return None
    owner = {name.lower(): value for name, value in message.headers.items()}.get(EMAIL_ID_HEADER.lower())
    if owner != str(email_id) or sha256_of(message.data) != reference["sha256"]:
        log.error("content of %s is not at %s any more: content_lost", email_id, reference["sequence"])
        return None
    try:
        return decode_content(message.data)
    except ContentError:
        log.exception("content of %s cannot be decoded", email_id)
        return None
