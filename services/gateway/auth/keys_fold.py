"""API keys in memory: who a key's SHA-256 belongs to, and every SHA-256 that ever was a key."""

from collections.abc import Sequence

from libs.common.facts import Envelope, parse
from libs.common.facts.key import KeyCreated, KeyDeleted, KeyState


class Keys:
    """Folded from `mail.key.*`; a revocation carries the key's last state, so that it is remembered for ever."""

    def __init__(self) -> None:
        """Empty until the view has read the set."""
        self.reset()

    def reset(self) -> None:
        """Forget everything: the set is about to be read anew."""
        self._by_id: dict[int, KeyState] = {}
        self._by_sha256: dict[str, KeyState] = {}
        self._seen: set[str] = set()
        self._highest = 0

    def apply(self, envelope: Envelope) -> None:
        """One fact. Unknown types change nothing."""
        fact = parse(envelope)
        if isinstance(fact, KeyCreated):
            self._by_id[fact.key.id] = self._by_sha256[fact.key.sha256] = fact.key
        elif isinstance(fact, KeyDeleted):
            self._by_id.pop(fact.key.id, None)
            self._by_sha256.pop(fact.key.sha256, None)
        if isinstance(fact, KeyCreated | KeyDeleted):
            self._seen.add(fact.key.sha256)
            self._highest = max(self._highest, fact.key.id)

    def by_sha256(self, sha256: str) -> KeyState | None:
        """The key with this digest (hex), None when there is none or it was revoked."""
        return self._by_sha256.get(sha256)

    def get(self, key_id: int) -> KeyState | None:
        """The key with this id."""
        return self._by_id.get(key_id)

    def all(self) -> Sequence[KeyState]:
        """The keys that are not revoked, by id."""
        return [self._by_id[key_id] for key_id in sorted(self._by_id)]

    @property
    def next_id(self) -> int:
        """One more than the highest id there ever was."""
        return self._highest + 1

    def was_seen(self, sha256: str) -> bool:
        """True if any fact has named this id."""
        return sha256 in self._seen
