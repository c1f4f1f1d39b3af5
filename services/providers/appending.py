"""Common to all commands: read the set, decide the next fact, append it, return its position."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from libs.common.errors import NotFoundError, UnavailableError
from libs.common.facts import Envelope, Fact
from libs.common.facts.domain import DomainState
from libs.common.facts.provider import ProviderState
from libs.common.jetstream.append import append_to_set
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.views import View
from services.providers.ports import Caller, Known, Registry

Step = TypeVar("Step", bound=Fact)
State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class Changed(Generic[State]):
    """The result of a command, and the sequence that later requests must have seen, by set."""

    state: State
    positions: dict[str, int]


class NothingToDoError(Exception):
    """The set already is as wanted."""


class SupersededError(Exception):
    """A concurrent change made this command's preparation void: prepare again."""


async def append_step(
    bus: Bus, view: View, decide: Callable[[], Step], caller: Caller, registry: Registry
) -> tuple[Step, int]:
    """Append the fact that `decide` makes of the set as it is; the fact and its sequence.

    What `decide` raises comes out. Errors else as of `append_to_set`.
    """
    decided: list[Step] = []

    def envelope() -> Envelope:
        fact = decide()
        decided.append(fact)
        return caller.envelope(fact, registry.now())

    stored = await append_to_set(bus, view, envelope)
    return decided[-1], stored.sequence


async def find(view: View, known: Known[State], id: int, what: str) -> State:
    """One of a set by id. Raises `NotFoundError`, after having looked for facts on their way here."""
    state = known.live.get(id)
    if state is None:
        await caught_up(view)
        state = known.live.get(id)
    if state is None:
        raise NotFoundError(f"there is no {what} {id}")
    return state


async def find_provider(registry: Registry, id: int) -> ProviderState:
    """A provider. Raises `NotFoundError`."""
    return await find(registry.provider_view, registry.providers, id, "provider")


async def find_domain(registry: Registry, id: int) -> DomainState:
    """A domain. Raises `NotFoundError`."""
    return await find(registry.domain_view, registry.domains, id, "domain")


async def caught_up(*views: View) -> None:
    """Bring views up to date. Raises `UnavailableError` when that cannot be done now."""
    for view in views:
        if not await view.refresh():
            raise UnavailableError(f"the view of {view.set_name} does not catch up", slug="not_caught_up")
