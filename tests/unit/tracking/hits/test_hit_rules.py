"""A hit, its fact, and its record in the spool."""

from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest

from libs.common.facts import decode, parse, uuid7
from libs.common.facts.email import EmailClicked, EmailOpened
from services.tracking.hits.hit_rules import Hit, fact_of, from_record, is_tracked, to_record

EMAIL = UUID("01920000-0000-7000-8000-0000000000ab")
ACCEPTED: dict[str, Any] = {"pixel": True, "links": ["https://example.com/ä"]}
OPEN = Hit(str(uuid7()), EMAIL, None, "203.0.113.7", "Mail", False, "gmail_proxy", 1_700_000_000.123456, "req-1")  # noqa: FBT003
CLICK = replace(OPEN, link_index=0, machine=True, machine_reason="scanner", ip=None, user_agent=None)


@pytest.mark.parametrize(("hit", "model"), [(OPEN, EmailOpened), (CLICK, EmailClicked)])
def test_the_fact_written_by_hand_is_the_model_fact(hit: Hit, model: type[EmailOpened | EmailClicked]) -> None:
    envelope = fact_of(hit, ACCEPTED, "cause")
    fact = parse(envelope)
    assert isinstance(fact, model)
    assert fact.model_dump(mode="json") == envelope.data, "no member is missing, none is too many"
    assert envelope.log_subject == fact.log_subject()
    assert envelope.subject == fact.aggregate()
    assert (envelope.id, envelope.correlationid, envelope.causationid) == (hit.fact_id, "req-1", "cause")
    assert envelope.time == "2023-11-14T22:13:20.123456Z"
    again = decode(envelope.encode(), log_subject=envelope.log_subject, stream="MAIL_TRACKING", sequence=1)
    assert again.data == envelope.data
    assert again.actor == {
        "id": "anonymous",
        "kind": "anonymous",
        "user_id": None,
        "ip": hit.ip,
        "user_agent": hit.user_agent,
    }


def test_a_click_says_where_it_led() -> None:
    assert fact_of(CLICK, ACCEPTED, "cause").data["link_url"] == "https://example.com/ä"


@pytest.mark.parametrize("hit", [OPEN, CLICK])
def test_a_spooled_hit_becomes_the_same_fact(hit: Hit) -> None:
    again = from_record(orjson.loads(orjson.dumps(to_record(hit))))
    assert again == hit
    assert fact_of(again, ACCEPTED, "c") == fact_of(hit, ACCEPTED, "c")


@pytest.mark.parametrize(
    ("hit", "accepted", "expected"),
    [
        (OPEN, ACCEPTED, True),
        (OPEN, {"pixel": False, "links": []}, False),
        (CLICK, ACCEPTED, True),
        (CLICK, {"pixel": True, "links": []}, False),
        (replace(CLICK, link_index=1), ACCEPTED, False),
        (replace(CLICK, link_index=-1), ACCEPTED, False),
    ],
)
def test_only_what_was_put_into_the_email_is_recorded(hit: Hit, accepted: dict[str, Any], expected: bool) -> None:  # noqa: FBT001
    assert is_tracked(hit, accepted) is expected


@pytest.mark.parametrize("record", [{}, {"v": 1}, {**to_record(OPEN), "email": "x"}, {**to_record(OPEN), "at": "soon"}])
def test_what_is_no_record_raises(record: dict[str, Any]) -> None:
    with pytest.raises((KeyError, ValueError)):
        from_record(record)
