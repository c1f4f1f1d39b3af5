"""An email's bodies, out of the content stream at the time of asking: they are never copied to Postgres."""

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from libs.common.jetstream.bus import Bus
from libs.common.jetstream.content import Content, ContentError, content_of
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import CONTENT

log = logging.getLogger(__name__)

PATIENCE = 2.0


async def read_content(bus: Bus, email_id: UUID, reference: Mapping[str, Any], *, now: datetime) -> Content | None:
    """The content a fact refers to; None if it has expired, is lost, or JetStream is unavailable."""
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
    try:
        return content_of(str(email_id), reference, message.data, message.headers)
    except ContentError as error:
        log.error("content of %s is lost: %s", email_id, error)  # noqa: TRY400 - the text says it all
        return None
