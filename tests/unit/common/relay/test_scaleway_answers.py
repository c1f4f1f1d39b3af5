"""Whatever Scaleway answers, a hand-over ends in exactly one way and nobody is both sent to and tried again."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from libs.common.mime import Mailbox
from libs.common.relay.port import Letter, Submission
from libs.common.relay.scaleway.answers import meaning, send_result, trouble_of, words
from libs.common.relay.scaleway.call import Answer

ADDRESSES = ("bob@b.example", "carol@c.example")
SUBMISSION = Submission(
    "shop@shop.example",
    ADDRESSES,
    b"Subject: x\r\n\r\n",
    "<1@shop.example>",
    letter=Letter(Mailbox("shop@shop.example"), tuple(map(Mailbox, ADDRESSES)), "s", "t", None),
)
LEAF = (
    st.none() | st.booleans() | st.integers() | st.sampled_from([*ADDRESSES, "rcpt", "project_id", "failed", "x\r\ny"])
)
KEYS = st.sampled_from([
    "emails", "details", "mail_rcpt", "rcpt_to", "id", "status", "flags", "argument_name", "help_message", "message",
])  # fmt: skip
JSON = st.recursive(LEAF, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner), max_leaves=15)
TYPES = st.sampled_from(
    ["", "invalid_arguments", "denied_authentication", "quotas_exceeded", "not_found", "new", 7, None]
)


def answer(status: int, content: dict[str, Any] | None = None, text: str = "") -> Answer:
    return Answer(status, content, text)


@given(st.integers(100, 599), TYPES, st.none() | st.dictionaries(KEYS, JSON))
def test_every_answer_ends_a_hand_over_in_one_way(status: int, type_: object, content: dict[str, Any] | None) -> None:
    result = send_result(SUBMISSION, answer(status, None if content is None else {**content, "type": type_}), ())
    if result.recipients:
        assert tuple(reply.address for reply in result.recipients) == ADDRESSES
        assert all(reply.text.isprintable() for reply in result.recipients)
        assert all(len(reply.text) <= 512 for reply in result.recipients)
    if status // 100 != 2:
        assert not any(reply.outcome == "accepted" for reply in result.recipients)
        assert result.provider_message_id is None


def test_every_5xx_is_trouble_but_those_of_a_gateway_that_heard_nothing() -> None:
    meanings = {status: meaning(answer(status)) for status in range(500, 600)}
    assert {status for status, means in meanings.items() if means == "unknown"} == {502, 504}
    assert {means for status, means in meanings.items() if status not in {502, 504}} == {"connection"}


def test_reading_is_never_unknown() -> None:
    trouble = trouble_of(answer(504), ())
    assert trouble is not None
    assert trouble.kind == "connection"


def test_words_name_status_type_and_every_detail() -> None:
    details = [
        {"argument_name": "subject", "reason": "constraint", "help_message": "too short"},
        {"action": "write", "resource": "email"},
        {"resource": "MonthlyEmails", "quota": 10_000, "current": 10_000},
    ]
    content = {"type": "t", "message": "no", "details": details}
    assert words(answer(400, content), ()) == (
        "400 t no; subject constraint too short; write email; MonthlyEmails 10000"
    )
    assert words(answer(500, None, "upstream connect error"), ()) == "500 upstream connect error"
    assert words(answer(500), ()) == "500"


def test_a_key_that_is_repeated_is_struck_out() -> None:
    assert words(answer(401, {"type": "t", "message": "no key s3cret"}), ("s3cret",)) == "401 t no key ***"


def test_receipts_go_to_the_exact_spelling_first() -> None:
    """The local part's case tells two people apart (RFC 5321 section 2.4), in whatever order they are answered."""
    people = ("Ann@b.example", "ann@b.example", "ANN@B.example")
    submission = replace(SUBMISSION, recipients=people)
    emails = [{"mail_rcpt": address, "id": f"receipt of {address}"} for address in reversed(people)]
    result = send_result(submission, answer(200, {"emails": emails}), ())
    assert {reply.address: reply.provider_message_id for reply in result.recipients} == {
        address: f"receipt of {address}" for address in people
    }
    cased = send_result(replace(SUBMISSION, recipients=people[:1]), answer(200, {"emails": emails[1:2]}), ())
    assert cased.recipients[0].provider_message_id == "receipt of ann@b.example"
