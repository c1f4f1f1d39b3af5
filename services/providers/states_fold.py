"""The present state of providers, domains and users: each fact carries it whole, the last one counts."""

from collections.abc import Callable
from typing import Generic, TypeVar

from libs.common.facts import Envelope, Fact, parse
from libs.common.facts.domain import DomainDeleted, DomainFact, DomainState
from libs.common.facts.provider import ProviderDeleted, ProviderFact, ProviderState
from libs.common.facts.user import UserFact, UserState

State = TypeVar("State", ProviderState, DomainState, UserState)


class Known(Generic[State]):
    """`live` by id; `highest` id ever seen, deleted ones included, because ids are never used again."""

    def __init__(self, read: Callable[[Fact], tuple[State, bool] | None]) -> None:
        """`read` gives a fact's state and whether that was its end."""
        self._read: Callable[[Fact], tuple[State, bool] | None] = read
        self.live: dict[int, State] = {}
        self.highest = 0

    def apply(self, envelope: Envelope) -> None:
        """Fold one fact; facts of types that this code does not know are skipped."""
        fact = parse(envelope)
        found = None if fact is None else self._read(fact)
        if found is None:
            return
        state, gone = found
        self.highest = max(self.highest, state.id)
        if gone:
            self.live.pop(state.id, None)
        else:
            self.live[state.id] = state

    def reset(self) -> None:
        """Forget everything."""
        self.live.clear()
        self.highest = 0


def known_providers() -> Known[ProviderState]:
    """Every provider that is not deleted."""
    return Known(
        lambda fact: (fact.provider, isinstance(fact, ProviderDeleted)) if isinstance(fact, ProviderFact) else None
    )


def known_domains() -> Known[DomainState]:
    """Every domain that is not deleted."""
    return Known(lambda fact: (fact.domain, isinstance(fact, DomainDeleted)) if isinstance(fact, DomainFact) else None)


def known_users() -> Known[UserState]:
    """Every user: who is asking for a test email, and where to."""
    return Known(lambda fact: (fact.user, False) if isinstance(fact, UserFact) else None)
