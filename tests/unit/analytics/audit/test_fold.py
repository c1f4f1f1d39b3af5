from typing import Any

from libs.common.facts import Actor
from libs.common.facts.user import UserCreated, UserState, UserUpdated
from services.analytics.audit.fold import LONGEST_NAME, STAGES, fold
from tests.support.history import BEGINNING, History, attempted, new_id, submitted

ANN = Actor(id="user/1", kind="session", user_id=1, ip="192.0.2.7", user_agent="a browser")


def _user(name: str) -> UserState:
    return UserState(
        id=1,
        email="ann@example.org",
        name=name,
        role="admin",
        is_active=True,
        epoch=1,
        credential_version=None,
        created_at=BEGINNING,
        updated_at=BEGINNING,
    )


def _rows(history: History, stage: str) -> list[dict[str, Any]]:
    return [dict(zip(STAGES[stage], row, strict=True)) for row in fold(history.all())[stage]]


def test_accepted_and_captured_emails_are_entries_and_attempts_are_none() -> None:
    history = History()
    history.add("email.accepted.v1", new_id(0), BEGINNING, **submitted())
    history.add("email.sent.v1", new_id(0), BEGINNING, **attempted({"ann@example.org": "accepted"}))
    history.add("email.captured.v1", new_id(1), BEGINNING, **submitted(provider_id=None))
    entries = _rows(history, "stage_audit")
    assert [(row["operation"], row["actor"], row["kind"]) for row in entries] == [("EMAIL_SENT", "test", "system")] * 2
    assert [row["id"] for row in entries] == [history.mail[0].id, history.mail[2].id]


def test_of_two_names_at_one_time_the_later_in_the_log_stands() -> None:
    history = History()
    history.note(UserCreated(user=_user("Ann")), BEGINNING, ANN)
    history.note(UserUpdated(user=_user("Ann B."), changed_fields=["name"]), BEGINNING, ANN)
    (named,) = _rows(history, "stage_actor_names")
    assert (named["actor"], named["sequence"], named["name"]) == ("user/1", 2, "Ann B.")
    assert [row["actor"] for row in _rows(history, "stage_audit")] == ["user/1"] * 2


def test_a_name_of_any_length_and_a_fact_without_an_actor_stop_nothing() -> None:
    history = History()
    fact = history.note(UserCreated(user=_user("x" * 5_000 + "\0")), BEGINNING, ANN)
    history.mail[0] = fact._replace(actor=None)
    assert len(_rows(history, "stage_actor_names")[0]["name"]) == LONGEST_NAME
    (entry,) = _rows(history, "stage_audit")
    assert (entry["actor"], entry["kind"]) == ("unknown", "system")
