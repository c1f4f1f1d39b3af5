"""Every provider there is or was, in memory: the last fact of each is its present state."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from libs.common.facts import Envelope, parse
from libs.common.facts.provider import ProviderDeleted, ProviderFact, ProviderState


@dataclass(slots=True)
class Providers:
    """Folded from `mail.provider.*`. `changed` is called after each fact."""

    living: dict[int, ProviderState] = field(default_factory=dict)
    deleted: dict[int, ProviderState] = field(default_factory=dict)
    """The last state of those that are gone: mail may still wait for them."""
    changed: Callable[[], None] = lambda: None

    def apply(self, envelope: Envelope) -> None:
        """The fold; facts of an unknown type are skipped."""
        fact = parse(envelope)
        if not isinstance(fact, ProviderFact):
            return
        state = fact.provider
        if isinstance(fact, ProviderDeleted):
            self.living.pop(state.id, None)
            self.deleted[state.id] = state
        else:
            self.living[state.id] = state
        self.changed()

    def reset(self) -> None:
        """Forget everything: the set is about to be read anew."""
        self.living.clear()
        self.deleted.clear()

    @property
    def by_id(self) -> Mapping[int, ProviderState]:
        """The existing providers, by id."""
        return self.living
