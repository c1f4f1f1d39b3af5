"""Since when this NATS server has been running: before that its delivery counts may have been lost.

A killed server hands messages that were in somebody's hands out again as if for the first time. Where its monitoring
port can be asked, only what became due before its start is under that suspicion; where not, everything is.
"""

import asyncio
import logging
import urllib.error
import urllib.request

import orjson

from libs.common.jetstream.message import parse_time

log = logging.getLogger(__name__)

_TIMEOUT = 1.0


async def server_started_at(monitor_url: str | None, *, replicas: int) -> float | None:
    """Unix seconds; None when it cannot be known, or when several servers share the counting."""
    if monitor_url is None or replicas > 1:
        return None
    try:
        document = await asyncio.to_thread(_get, f"{monitor_url.rstrip('/')}/varz")
        return parse_time(orjson.loads(document)["start"])
    except (OSError, urllib.error.URLError, ValueError, KeyError) as error:
        log.info("the server's start is not known: %s", error)
        return None


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - the operator's own address
        body: bytes = answer.read()
    return body
