"""Messages: read by `email` as they were meant, and safe on any wire."""

import base64
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.headerregistry import AddressHeader
from email.message import EmailMessage
from typing import Any, cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.common.mime import Mailbox, build_message, message_id_for, parse_address

EMAIL_ID = "01934f3e-0000-7000-8000-00000000002a"
SENDER = Mailbox("info@acme.example", "Acme")
DATE = datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC)


def built(**parts: Any) -> bytes:
    arguments: dict[str, Any] = {
        "from_": SENDER,
        "to": [Mailbox("bob@b.example")],
        "subject": "Hello",
        "message_id": f"<{EMAIL_ID}@acme.example>",
        "date": DATE,
        "email_id": EMAIL_ID,
    }
    if "html" not in parts:
        arguments["text"] = "Hi"
    return build_message(**(arguments | parts))


def parsed(message: bytes) -> EmailMessage:
    return message_from_bytes(message, policy=policy.default)


def content(message: EmailMessage, subtype: str) -> str:
    part = message.get_body((subtype,))
    assert part is not None
    return str(part.get_content())


def lines(message: bytes) -> list[bytes]:
    assert message.endswith(b"\r\n")
    found = message.split(b"\r\n")
    assert not any(b"\r" in line or b"\n" in line for line in found)
    return found


def head(message: bytes) -> bytes:
    return message.partition(b"\r\n\r\n")[0]


def shown(message: bytes, name: str) -> str:
    """An unstructured field as RFC 2047 means it; `email.header` is the reader that joins adjacent words rightly."""
    field = message_from_bytes(message, policy=policy.compat32)[name]
    return str(make_header(decode_header(re.sub(r"\r?\n", "", field).strip(" \t"))))


def test_a_message_of_two_parts_looks_like_this() -> None:
    message = built(
        to=[Mailbox("bob@b.example", "Bob B."), Mailbox("eva@b.example", "Éva")],
        cc=[Mailbox("c@b.example")],
        reply_to=[Mailbox("help@acme.example", 'The "Help" Desk')],
        subject="Grüße",
        text="Hi é\n.\nBye ",
        html="<p>Hi =</p>\n",
        headers={"X-Order": "42"},
    )
    assert message.decode("ascii").split("\r\n") == [
        "From: Acme <info@acme.example>",
        'To: "Bob B." <bob@b.example>, =?utf-8?q?=C3=89va?= <eva@b.example>',
        "Cc: c@b.example",
        'Reply-To: "The \\"Help\\" Desk" <help@acme.example>',
        "Subject: =?utf-8?b?R3LDvMOfZQ==?=",
        "Date: Sun, 01 Mar 2026 09:05:07 +0000",
        f"Message-ID: <{EMAIL_ID}@acme.example>",
        "MIME-Version: 1.0",
        "Auto-Submitted: auto-generated",
        f"X-Temps-Email-Id: {EMAIL_ID}",
        "X-Order: 42",
        'Content-Type: multipart/alternative; boundary="=_fd85ce98b0e8503d3e3111f2"',
        "",
        "--=_fd85ce98b0e8503d3e3111f2",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "Hi =C3=A9",
        "=2E",
        "Bye=20",
        "--=_fd85ce98b0e8503d3e3111f2",
        "Content-Type: text/html; charset=utf-8",
        "Content-Transfer-Encoding: quoted-printable",
        "",
        "<p>Hi =3D</p>",
        "",
        "--=_fd85ce98b0e8503d3e3111f2--",
        "",
    ]


def test_the_same_email_gives_the_same_octets() -> None:
    assert built(text="a", html="b") == built(text="a", html="b")


def test_a_part_alone_needs_no_multipart() -> None:
    assert parsed(built(text="x")).get_content_type() == "text/plain"
    assert parsed(built(html="<p>", text="")).get_content_type() == "text/html"
    with pytest.raises(ValueError, match="needs a text or an html"):
        built(text="", html="")


def test_dates_are_written_in_utc_and_never_guessed() -> None:
    east = DATE.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert b"\r\nDate: Sun, 01 Mar 2026 09:05:07 +0000\r\n" in built(date=east)
    with pytest.raises(ValueError, match="no offset"):
        built(date=DATE.replace(tzinfo=None))


def test_auto_submitted_may_be_overridden_in_any_case() -> None:
    message = parsed(built(headers={"AUTO-SUBMITTED": "no"}))
    assert message.get_all("Auto-Submitted") == ["no"]


def test_the_field_reply_to_wins_over_the_header() -> None:
    headers = {"reply-to": "x@x.example"}
    assert parsed(built(headers=headers)).get_all("Reply-To") == ["x@x.example"]
    both = parsed(built(headers=headers, reply_to=[Mailbox("y@y.example")]))
    assert both.get_all("Reply-To") == ["y@y.example"]


def test_without_visible_recipients_the_message_says_so() -> None:
    assert parsed(built(to=[]))["To"] == "undisclosed-recipients:;"
    assert parsed(built(to=[], cc=[Mailbox("c@b.example")]))["To"] is None


def test_message_ids_are_the_same_on_every_attempt() -> None:
    assert message_id_for(EMAIL_ID, "Bücher.example") == f"<{EMAIL_ID}@xn--bcher-kva.example>"
    assert b"\r\nMessage-ID: <x@y>\r\n" in built(message_id="x@y")


@pytest.mark.parametrize(
    "parts",
    [
        {"subject": "a\r\nBcc: x@x.example"},
        {"subject": "a\0"},
        {"subject": "\ud800"},
        {"headers": {"X-A: b\r\nBcc": "x"}},
        {"headers": {"X-A": "b\nBcc: x"}},
        {"headers": {"Bcc": "x@x.example"}},
        {"from_": Mailbox("a@b.example\r\nBcc: x@x.example")},
        {"to": [Mailbox("a@b.example", "A\nBcc: x@x.example")]},
        {"message_id": "a\r\nBcc: x@x.example"},
        {"text": "\ud800"},
    ],
)
def test_nothing_breaks_out_of_its_field(parts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        built(**parts)


def test_base64_is_chosen_where_it_is_shorter() -> None:
    text = "Привет, как дела?\n" * 50
    message = built(text=text)
    assert b"Content-Transfer-Encoding: base64\r\n" in message
    body = message.partition(b"\r\n\r\n")[2]
    assert base64.b64decode(body).decode() == text.replace("\n", "\r\n")
    assert max(map(len, lines(body))) == 76
    assert b"quoted-printable" in built(text="ä" + "a" * 200)


def test_an_address_beyond_ascii_is_the_only_thing_beyond_seven_bits() -> None:
    message = built(to=[parse_address("Jörg <jörg@bücher.example>")], subject="ü", text="ü")
    beyond = [line for line in lines(message) if not line.isascii()]
    assert beyond == ["To: =?utf-8?b?SsO2cmc=?= <jörg@xn--bcher-kva.example>".encode()]


# -- properties ----------------------------------------------------------------------------------------------

VALUE = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\u2028\u2029", include_characters="\t"),
    max_size=300,
)
ASCII_VALUE = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=300)
WORDS = st.lists(st.text("ab=?_c", min_size=1, max_size=120), max_size=30).map(" ".join)
TOKEN = st.integers(900, 1100).map(lambda n: "x" * n)
FIELD = st.one_of(VALUE, ASCII_VALUE, WORDS, TOKEN)
BODY = st.text(
    st.one_of(st.sampled_from("\r\n. \t=-_aé\U0001f600"), st.characters(exclude_categories=["Cs"])), min_size=1
)
LONG_BODY = st.lists(
    st.sampled_from(["x" * 75, " " * 76, ".", "\n", "\r\n", "é", "From ", "--=_", "\t"]), min_size=1
).map("".join)


def test_header_names_up_to_the_longest_leave_room_for_folding() -> None:
    for length in range(1, 77):
        message = built(headers={"X" * length: "ü" * 100})
        assert max(map(len, lines(head(message) + b"\r\n"))) <= 77
        assert shown(message, "X" * length) == "ü" * 100


@given(FIELD, FIELD)
@example("=?utf-8?q?a?=", "x =?utf-8?q?a?= y")
@example("x" * 989, "x" * 990)
@example("a  b\t\tc", " " * 200 + "x" + " " * 200 + "y")
def test_fields_are_read_as_they_were_given(subject: str, value: str) -> None:
    message = built(subject=subject, headers={"X-Custom": value})
    for name, given_value in {"Subject": subject, "X-Custom": value}.items():
        assert shown(message, name) == given_value.strip(" \t")
    assert parsed(message)["Subject"] == subject.strip(" \t")
    for line in lines(head(message) + b"\r\n"):
        assert line.isascii()
        assert len(line) <= 998
        assert len(line) <= 76 or b" " not in line.partition(b": ")[2].strip()
        assert line.strip(b" \t") or not line
        assert all(len(word) <= 75 for word in re.findall(rb"=\?utf-8\?[^ ]*", line) if word.endswith(b"?="))


CHARACTERS = st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs"], include_characters=" ")
NAMES = st.text(CHARACTERS, min_size=1).map(lambda name: " ".join(name.split())).filter(bool)
SHORT = NAMES.filter(lambda name: len(name.encode()) <= 36)  # one encoded word at most
MAILBOX = st.builds(
    Mailbox,
    st.sampled_from(
        [
            "bob@b.example",
            '"bob b"@b.example',
            '"b@b"@b.example',
            "o'b+x=y@xn--bcher-kva.example",
            f"{'l' * 64}@{'d' * 63}.example",
        ]
    ),
    st.one_of(st.none(), SHORT, st.text('ab.,"\\<>@()', min_size=1, max_size=70)),
)


def mailboxes(message: EmailMessage, name: str) -> list[tuple[str, str]]:
    header = message[name]
    assert not header.defects
    return [(address.display_name, address.addr_spec) for address in cast("AddressHeader", header).addresses]


@given(st.lists(MAILBOX, min_size=1, max_size=8))
def test_addresses_are_read_as_they_were_given(boxes: Sequence[Mailbox]) -> None:
    message = built(to=boxes)
    assert [(name, address) for name, address in mailboxes(parsed(message), "To")] == [
        (box.name or "", box.address) for box in boxes
    ]
    assert all(len(line) <= 76 or b"@" in line for line in lines(head(message) + b"\r\n"))


# `email` of Python 3.11 shows the spaces between the encoded words of a name, against RFC 2047 (6.2).
@given(st.text(CHARACTERS.filter(lambda character: not character.isascii()), min_size=13, max_size=200))
def test_long_names_are_split_between_characters(name: str) -> None:
    message = built(from_=Mailbox("info@acme.example", name))
    assert shown(message, "From") == f"{name} <info@acme.example>"
    assert max(map(len, lines(head(message) + b"\r\n"))) <= 76


@given(st.one_of(BODY, LONG_BODY), st.one_of(BODY, LONG_BODY))
@example("x" * 74 + " \n" + "x" * 73 + "\t\t\r\ny", "x" * 74 + " ")
def test_bodies_are_read_as_they_were_given(text: str, html: str) -> None:
    def normal(body: str) -> str:
        return body.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")

    message = built(text=text, html=html)
    assert content(parsed(message), "plain") == normal(text)
    assert content(parsed(message), "html") == normal(html)
    assert message.isascii()
    assert max(map(len, lines(message))) <= 76
    alone = content(parsed(built(text=text)), "plain")
    assert alone.removesuffix("\r\n") == normal(text).removesuffix("\r\n")
