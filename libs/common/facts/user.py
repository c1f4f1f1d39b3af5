"""Users: who may log in. The password's hash is a secret, encrypted in MAIL_SECRETS."""

from datetime import datetime
from typing import Literal

from libs.common.facts.email import Part
from libs.common.facts.envelope import Fact

Role = Literal["admin", "user", "reader"]


class UserState(Part):
    """A user as it is after a fact. `epoch` is in each session: raising it ends them all."""

    id: int
    email: str
    name: str
    role: Role
    is_active: bool
    epoch: int
    credential_version: str | None
    created_at: datetime
    updated_at: datetime


class UserFact(Fact):
    """Any fact of a user, on the one subject of that user."""

    user: UserState

    def aggregate(self) -> str:
        """`user/<id>`."""
        return f"user/{self.user.id}"

    def log_subject(self) -> str:
        """`mail.user.<id>`."""
        return f"mail.user.{self.user.id}"


class UserCreated(UserFact):
    """A user was added."""

    TYPE = "user.created.v1"


class UserUpdated(UserFact):
    """Something about the user changed, logging out everywhere included."""

    TYPE = "user.updated.v1"

    changed_fields: list[str]


FACTS: tuple[type[Fact], ...] = (UserCreated, UserUpdated)
