"""What may stand in an email's body, and the name under which everything else is refused."""

from typing import Any

import orjson
import pytest

from libs.common.errors import InvalidError
from services.sender.accept.body import read_send_body


def email(**members: Any) -> dict[str, Any]:
    return {
        "from": "Acme <hello@p1.example>",
        "to": "ada@example.com",
        "subject": "Hello",
        "text": "Good morning.",
        **members,
    }


def refused(raw: bytes) -> list[str]:
    with pytest.raises(InvalidError) as error:
        read_send_body(raw)
    return [each["field"] for each in error.value.extra["errors"]]


@pytest.mark.parametrize(
    "member",
    [
        "attachments",
        "scheduled_at",
        "unsubscribe",
        "priority",
        "expires_at",
        "template",
        "suppression_bypass",
        "colour",
    ],
)
def test_members_that_are_not_there_yet_are_refused_by_name(member: str) -> None:
    assert refused(orjson.dumps(email(**{member: None}))) == [member]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"from": "nobody"}, "from"),
        ({"from": None}, "from"),
        ({"to": []}, "to"),
        ({"to": ["a@example.com", "b"]}, "to.1"),
        ({"to": ["a@example.com", 7]}, "to.1"),
        ({"to": [f"a{n}@example.com" for n in range(51)]}, "to"),
        ({"to": [f"a{n}@example.com" for n in range(50)], "cc": ["b@example.com"]}, "cc.0"),
        ({"to": "a@example.com\r\nBcc: x@example.com"}, "to"),
        ({"to": '"a b"@example.com'}, "to"),
        ({"subject": "a\nb"}, "subject"),
        ({"subject": "x" * 999}, "subject"),
        ({"subject": None}, "subject"),
        ({"from_name": "a\0b"}, "from_name"),
        ({"text": None}, "html"),
        ({"text": "", "html": ""}, "html"),
        ({"text": "a\0b"}, "text"),
        ({"html": "x" * (2 * 2**20 + 1)}, "html"),
        ({"html": "ü" * (2**20 + 1)}, "html"),
        ({"headers": {"Bcc": "x@example.com"}}, "headers.Bcc"),
        ({"headers": {"X-A: b\r\nBcc": "x"}}, "headers"),
        ({"headers": {"X-A": "b\r\nBcc: x"}}, "headers.X-A"),
        ({"headers": {"X-A": 1}}, "headers.X-A"),
        ({"headers": {"X-A": "1", "x-a": "2"}}, "headers.x-a"),
        ({"tags": ["a\nb"]}, "tags.0"),
        ({"tags": [{"name": "a"}]}, "tags.0.value"),
        ({"tags": [{"name": "a", "value": "b", "x": 1}]}, "tags.0.x"),
        ({"tags": "a"}, "tags"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"metadata": {"a": "\0"}}, "metadata.a"),
        ({"track_opens": "yes"}, "track_opens"),
        ({"track_clicks": 1}, "track_clicks"),
        ({"reply_to": ["x"]}, "reply_to.0"),
    ],
)
def test_a_wrong_member_is_refused_by_name(wrong: dict[str, Any], field: str) -> None:
    assert refused(orjson.dumps(email(**wrong))) == [field]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"{", "body"),
        (b"[]", "body"),
        (b'"x"', "body"),
        (b'{"from": "\xff"}', "body"),
        (b'{"from":"a@p1.example","to":"b@example.com","subject":"\\ud800","text":"x"}', "subject"),
        (b'{"from":"a@p1.example","to":["\\udfff@example.com"],"subject":"","text":"x"}', "to.0"),
    ],
)
def test_malformed_json_is_refused_by_name_too(body: bytes, field: str) -> None:
    assert refused(body) == [field]


def test_all_wrong_members_are_named_at_once() -> None:
    assert refused(orjson.dumps(email(to=["x", "a@example.com"], subject="a\nb", html="\0"))) == [
        "to.0",
        "subject",
        "html",
    ]


def test_an_address_is_kept_once_under_its_first_kind() -> None:
    command = read_send_body(
        orjson.dumps(email(to=["Ada <ada@EXAMPLE.com>", "ada@example.com"], cc="ada@example.com", bcc=["b@x.example"]))
    )
    assert [(each.address, each.name, each.kind) for each in command.recipients] == [
        ("ada@example.com", "Ada", "to"),
        ("b@x.example", None, "bcc"),
    ]


def test_an_optional_member_may_be_null() -> None:
    empty = dict.fromkeys(["cc", "bcc", "reply_to", "html", "headers", "tags", "metadata", "from_name"])
    command = read_send_body(orjson.dumps(email(**empty)))
    assert (command.reply_to, command.tags, command.metadata, command.html) == ([], [], {}, None)


def test_from_name_comes_before_a_name_in_from() -> None:
    assert read_send_body(orjson.dumps(email(from_name="Ours"))).sender.name == "Ours"
    assert read_send_body(orjson.dumps(email())).sender.name == "Acme"


def test_fifty_recipients_are_enough_and_the_domain_is_normalised() -> None:
    command = read_send_body(
        orjson.dumps(email(to=[f"a{n}@example.com" for n in range(50)], **{"from": "x@BÜCHER.example"}))
    )
    assert len(command.recipients) == 50
    assert command.sender_domain == "xn--bcher-kva.example"
