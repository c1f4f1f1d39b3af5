"""Users in memory: whose key or session it is, and who may log in."""

from collections.abc import Sequence

from libs.common.facts import Envelope, parse
from libs.common.facts.user import UserCreated, UserState, UserUpdated


class Users:
    """Folded from `mail.user.*`."""

    def __init__(self) -> None:
        """Empty until the view has read the set."""
        self.reset()

    def reset(self) -> None:
        """Forget everything: the set is about to be read anew."""
        self._by_id: dict[int, UserState] = {}
        self._by_email: dict[str, UserState] = {}

    def apply(self, envelope: Envelope) -> None:
        """One fact. Unknown types change nothing."""
        fact = parse(envelope)
        if not isinstance(fact, UserCreated | UserUpdated):
            return
        before = self._by_id.get(fact.user.id)
        if before is not None:
            self._by_email.pop(before.email.lower(), None)
        self._by_id[fact.user.id] = self._by_email[fact.user.email.lower()] = fact.user

    def get(self, user_id: int) -> UserState | None:
        """The user with this id."""
        return self._by_id.get(user_id)

    def by_email(self, email: str) -> UserState | None:
        """The user who logs in with this address; case does not matter."""
        return self._by_email.get(email.strip().lower())

    def all(self) -> Sequence[UserState]:
        """All, by id."""
        return [self._by_id[user_id] for user_id in sorted(self._by_id)]

    @property
    def next_id(self) -> int:
        """One more than the highest id there ever was."""
        return max(self._by_id, default=0) + 1
