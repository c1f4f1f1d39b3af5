from typing import Any

from services.analytics.emails.fold import STAGES, fold
from tests.support.history import BEGINNING, History, attempted, new_id, submitted

EMAIL = new_id(0)
ANN, BOB = "ann@example.org", "bob@example.org"


def _rows(history: History, stage: str) -> list[dict[str, Any]]:
    return [dict(zip(STAGES[stage], row, strict=True)) for row in fold(history.all())[stage]]


def _recipients(history: History) -> dict[str, tuple[str, str | None]]:
    return {row["address"]: (row["status"], row["detail"]) for row in _rows(history, "stage_recipients")}


def test_an_accepted_email_is_one_row_with_its_recipients_queued() -> None:
    history = History()
    history.add("email.accepted.v1", EMAIL, BEGINNING, **submitted([ANN, BOB]))
    (email,) = _rows(history, "stage_emails")
    assert (email["email_id"], email["provider_id"], email["attempts"]) == (str(EMAIL), 1, 0)
    assert _recipients(history) == {ANN: ("queued", None), BOB: ("queued", None)}
    assert [row["position"] for row in _rows(history, "stage_recipients")] == [0, 1]


def test_a_captured_email_has_no_provider_and_captured_recipients() -> None:
    history = History()
    history.add("email.captured.v1", EMAIL, BEGINNING, **submitted([ANN], provider_id=None))
    assert _recipients(history) == {ANN: ("captured", None)}


def test_each_recipient_has_its_own_outcome() -> None:
    history = History()
    history.add("email.sent.v1", EMAIL, BEGINNING, **attempted({ANN: "accepted", BOB: "deferred"}, attempt=2))
    assert _recipients(history) == {ANN: ("sent", "accepted at attempt 2"), BOB: ("queued", "deferred at attempt 2")}
    (email,) = _rows(history, "stage_emails")
    assert (email["created_at"], email["attempts"]) == (None, 2)


def test_what_the_bundled_inbox_takes_is_captured() -> None:
    history = History()
    history.add("email.sent.v1", EMAIL, BEGINNING, captured=True, **attempted({ANN: "accepted", BOB: "bounced"}))
    assert {address: status for address, (status, _) in _recipients(history).items()} == {
        ANN: "captured",
        BOB: "bounced",
    }


def test_a_bounce_stands_whether_it_comes_before_or_after_the_delivery() -> None:
    for order in (("delivered", "bounced"), ("bounced", "delivered")):
        history = History()
        for event in order:
            if event == "delivered":
                history.add("email.delivered.v1", EMAIL, BEGINNING, provider_id=1, recipients=[ANN], detail="arrived")
            else:
                history.add("email.bounced.v1", EMAIL, BEGINNING, origin="report", **attempted({ANN: "bounced"}))
        assert _recipients(history) == {ANN: ("bounced", "bounced at attempt 1")}


def test_the_latest_deferral_is_the_one_that_is_shown() -> None:
    history = History()
    for attempt in (1, 2):
        history.add("email.deferred.v1", EMAIL, BEGINNING, **attempted({ANN: "deferred"}, attempt=attempt))
    history.add("email.accepted.v1", EMAIL, BEGINNING, **submitted([ANN]))
    assert _recipients(history) == {ANN: ("queued", "deferred at attempt 2")}


def test_an_unknown_outcome_is_queued_and_says_where_it_was_lost() -> None:
    history = History()
    lost = attempted({ANN: "unknown"}, stage="worker_lost")
    lost["recipients"][0]["text"] = None
    history.add("email.unknown.v1", EMAIL, BEGINNING, **lost)
    assert _recipients(history) == {ANN: ("queued", "worker_lost")}


def test_facts_of_other_things_are_no_rows() -> None:
    history = History()
    history.add("email.opened.v1", EMAIL, BEGINNING, ip_address=None, user_agent=None)
    assert fold(history.all()) == {"stage_emails": [], "stage_recipients": []}
