"""Dependencies of routes."""

from typing import Annotated, Any

from fastapi import Depends, Request

from libs.common.web import POSITION_HEADER
from services.analytics.context import Dependencies
from services.analytics.freshness import await_position


def _dependencies(request: Request) -> Dependencies:
    dependencies: Dependencies = request.app.state.deps
    return dependencies


Deps = Annotated[Dependencies, Depends(_dependencies)]


def email_position(request: Request) -> int:
    """How far the caller has written emails, as the gateway says it; 0 when it says nothing."""
    for part in request.headers.get(POSITION_HEADER, "").split(","):
        name, _, sequence = part.strip().partition("=")
        if name == "email" and sequence.isascii() and sequence.isdigit():
            return int(sequence)
    return 0


def after_own_writes(model: str) -> Any:
    """A dependency: wait until the read model shows what the caller was told is accepted."""

    async def wait(request: Request, deps: Deps) -> None:
        sequence = email_position(request)
        if sequence:
            await await_position(deps, sequence, model)

    return Depends(wait)
