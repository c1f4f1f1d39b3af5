"""The registered sending domains in memory, by name: the last fact of each is its present state."""

from dataclasses import dataclass, field

from libs.common.facts import Envelope, parse
from libs.common.facts.domain import DomainDeleted, DomainFact, DomainState


@dataclass(slots=True)
class Domains:
    """Folded from `mail.domain.*`. Names are lower case and IDNA, and unique among those that exist."""

    by_name: dict[str, DomainState] = field(default_factory=dict)

    def apply(self, envelope: Envelope) -> None:
        """The fold; facts of an unknown type are skipped."""
        fact = parse(envelope)
        if not isinstance(fact, DomainFact):
            return
        state = fact.domain
        if not isinstance(fact, DomainDeleted):
            self.by_name[state.domain] = state
        elif (current := self.by_name.get(state.domain)) is not None and current.id == state.id:
            # At start only each domain's last fact is read: a name deleted and registered anew arrives in log
            # order, and an older domain's end must not remove a younger one.
            del self.by_name[state.domain]

    def reset(self) -> None:
        """Forget everything: the set is about to be read anew."""
        self.by_name.clear()
