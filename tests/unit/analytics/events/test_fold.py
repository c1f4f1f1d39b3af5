from typing import Any

from services.analytics.events.fold import (
    BOUNCED,
    CLICKED,
    LINKS,
    OPENED,
    OPENED_BY_MACHINE,
    PIXEL,
    SENT,
    STAGES,
    TRACK_CLICKS,
    TRACK_OPENS,
    fold,
)
from tests.support.history import BEGINNING, History, attempted, hit, new_id, submitted

EMAIL = new_id(0)
ANN, BOB = "ann@example.org", "bob@example.org"


def _rows(history: History, stage: str) -> list[dict[str, Any]]:
    return [dict(zip(STAGES[stage], row, strict=True)) for row in fold(history.all())[stage]]


def test_only_what_was_really_put_in_counts_as_tracked() -> None:
    history = History()
    history.add("email.accepted.v1", EMAIL, BEGINNING, **submitted(track_opens=True, track_clicks=True))
    (email,) = _rows(history, "stage_tracked")
    assert email["flags"] == TRACK_OPENS | TRACK_CLICKS
    history.add("email.accepted.v1", new_id(1), BEGINNING, **submitted(pixel=True, links=["https://example.com/"]))
    assert _rows(history, "stage_tracked")[1]["flags"] & (PIXEL | LINKS) == PIXEL | LINKS


def test_an_attempt_says_who_took_it_and_each_bounce_is_an_event() -> None:
    history = History()
    fact = history.add("email.sent.v1", EMAIL, BEGINNING, **attempted({ANN: "accepted", BOB: "bounced"}))
    assert _rows(history, "stage_tracked")[0]["flags"] == SENT | BOUNCED
    (event,) = _rows(history, "stage_events")
    assert (event["event_type"], event["recipient"], event["detail"]) == ("bounce", BOB, "bounced at attempt 1")
    assert event["id"] != fact.id
    assert fold(history.all()) == fold(history.all())


def test_a_relays_250_is_no_delivery_event() -> None:
    history = History()
    history.add("email.sent.v1", EMAIL, BEGINNING, **attempted({ANN: "accepted"}))
    assert _rows(history, "stage_events") == []


def test_an_attempt_that_led_to_nothing_yet_is_no_row() -> None:
    history = History()
    history.add("email.deferred.v1", EMAIL, BEGINNING, **attempted({ANN: "deferred"}))
    assert fold(history.all()) == {"stage_tracked": [], "stage_events": []}


def test_machines_have_flags_of_their_own() -> None:
    history = History()
    history.add("email.opened.v1", EMAIL, BEGINNING, **hit(machine=True))
    history.add("email.clicked.v1", EMAIL, BEGINNING, **hit(link=3))
    assert _rows(history, "stage_tracked")[0]["flags"] == OPENED_BY_MACHINE | CLICKED
    assert [row["link_index"] for row in _rows(history, "stage_events")] == [None, 3]


def test_a_hit_that_was_published_twice_is_one_event() -> None:
    history = History()
    fact = history.add("email.opened.v1", EMAIL, BEGINNING, **hit())
    history.again(fact)
    (event,) = _rows(history, "stage_events")
    assert (event["id"], event["sequence"]) == (fact.id, 1)
    assert _rows(history, "stage_tracked")[0]["flags"] == OPENED


def test_a_report_about_several_is_an_event_for_each() -> None:
    history = History()
    history.add("email.delivered.v1", EMAIL, BEGINNING, provider_id=1, recipients=[ANN, BOB], detail=None)
    history.add("email.complained.v1", EMAIL, BEGINNING, provider_id=1, recipients=[], detail="abuse")
    found = [(row["event_type"], row["recipient"]) for row in _rows(history, "stage_events")]
    assert found == [("delivery", ANN), ("delivery", BOB), ("complaint", None)]
