"""Read your writes: an email that was accepted is found directly afterwards, by its id.

The gateway says how far its caller has written (`Temps-Position: email=<sequence>`), so the read model is waited for
until it has come so far. Callers of another gateway say nothing; so before an id is called unknown, the read model
must have passed everything that is in the log now.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from libs.common.errors import NotFoundError, UnavailableError
from libs.common.facts import uuid7_time
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import EVENTS
from services.analytics.context import Dependencies

Found = TypeVar("Found")

PATIENCE = 2.0
"""Seconds; the contract's bound on waiting for a set."""

YOUNG = 15 * 60.0
"""An id younger than this many seconds may well be of an email that is not projected yet."""

CLOCKS = 2.0
"""Seconds by which the clocks of two machines may differ."""


async def await_position(deps: Dependencies, sequence: int, model: str) -> None:
    """Wait until `model` has applied `sequence`. Raises UnavailableError (`not_caught_up`) after 2 s."""
    reached = deps.checkpoints.position(EVENTS, model) >= sequence
    if not reached and not await deps.checkpoints.wait_for(EVENTS, sequence, PATIENCE, model=model):
        raise _behind()


async def found(deps: Dependencies, email_id: UUID, model: str, ask: Callable[[], Awaitable[Found | None]]) -> Found:
    """The result of `ask`. Raises NotFoundError only if the log does not know this email either."""
    answer = await ask()
    if answer is None and await _passed_the_log(deps, email_id, model):
        answer = await ask()
    if answer is None:
        raise NotFoundError(f"There is no email {email_id}.")
    return answer


async def _passed_the_log(deps: Dependencies, email_id: UUID, model: str) -> bool:
    """True if asking again may help: the read model has reached the log's end as it was just now."""
    made = uuid7_time(email_id)
    now = time.time()
    if made is None or made > now + CLOCKS:  # never an id of ours
        return False
    before = deps.checkpoints.position(EVENTS, model)
    try:
        async with asyncio.timeout(PATIENCE):
            last = (await deps.bus.stream_state(EVENTS)).last_sequence
    except (BusError, TimeoutError) as error:
        if now - made < YOUNG:
            raise UnavailableError("the log cannot be asked whether this email is only just accepted") from error
        return False
    if before < last and not await deps.checkpoints.wait_for(EVENTS, last, PATIENCE, model=model):
        raise _behind()
    return True


def _behind() -> UnavailableError:
    return UnavailableError("The read models have not caught up with the log yet.", slug="not_caught_up")
