"""API keys: the SHA-256 of a key is enough to recognise it, so the key itself is in no fact."""

from datetime import datetime

from libs.common.facts.email import Part
from libs.common.facts.envelope import Fact


class KeyState(Part):
    """An API key as it is after a fact. `sha256` is hex, of the whole key string."""

    id: int
    name: str
    prefix: str
    sha256: str
    user_id: int
    role: str | None
    scopes: list[str]
    expires_at: datetime | None
    created_at: datetime


class KeyFact(Fact):
    """Any fact of a key, on the one subject of that key."""

    key: KeyState

    def aggregate(self) -> str:
        """`key/<id>`."""
        return f"key/{self.key.id}"

    def log_subject(self) -> str:
        """`mail.key.<id>`."""
        return f"mail.key.{self.key.id}"


class KeyCreated(KeyFact):
    """A key was issued; it was shown once."""

    TYPE = "key.created.v1"


class KeyDeleted(KeyFact):
    """A key was revoked: it is refused from this fact on."""

    TYPE = "key.deleted.v1"


FACTS: tuple[type[Fact], ...] = (KeyCreated, KeyDeleted)
