"""Dependencies of every route: the registry, caught up at least once, and the caller."""

from typing import Annotated

from fastapi import Depends, Request, Response

from libs.common.errors import UnavailableError
from libs.common.web import request_id_of, set_position
from libs.common.web.principal import Principal
from services.providers.ports import Caller, Registry


def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    if not (registry.provider_view.caught_up.is_set() and registry.domain_view.caught_up.is_set()):
        raise UnavailableError("The providers are still being read.", slug="not_caught_up")
    return registry


TheRegistry = Annotated[Registry, Depends(_registry)]


def calling(request: Request, principal: Principal) -> Caller:
    """The actor, for the fact."""
    return Caller(principal.actor(), principal.user_id, request_id_of(request))


def tell(response: Response, positions: dict[str, int]) -> None:
    """Say how far later requests have to see."""
    for name, sequence in positions.items():
        set_position(response, name, sequence)
