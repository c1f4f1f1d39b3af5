"""Header fields and bodies from outside: what may pass, and that a refusal names what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.mime import check_body, check_header_name, check_header_value, check_headers


@pytest.mark.parametrize(
    "name", ["X-A", "List-Unsubscribe", "References", "Reply-To", "Auto-Submitted", "x!#$", "A" * 76]
)
def test_these_names_may_be_given(name: str) -> None:
    check_header_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "A" * 77, "X A", "X:A", "X-Ä", "X-A\n", "X-A: b\r\nBcc", "X\tA", "X\0", "X\x7f"],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not a header name"):
        check_header_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "From", "TO", "cc", "Bcc", "Sender", "Subject", "Date", "Message-ID", "MIME-Version", "mime-x", "Content-Type",
        "content-anything", "DKIM-Signature", "Received", "Return-Path", "X-SES-Configuration-Set", "X-Temps-Email-Id",
    ],
)  # fmt: skip
def test_our_own_headers_are_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match=f"header '{name}' is set by this system"):
        check_headers({name: "x"})


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("a\rb", "CR"),
        ("a\n b", "LF"),
        ("a\0", "NUL"),
        ("\x0b", r"control character \(U\+000B\)"),
        ("\x1f", r"U\+001F"),
        ("\x7f", r"U\+007F"),
        ("\x85", r"NEL \(U\+0085\)"),
        ("\u2028", "line separator"),
        ("\u2029", "paragraph separator"),
        ("\ud800", r"lone surrogate \(U\+D800\)"),
        ("\udfff", r"lone surrogate \(U\+DFFF\)"),
    ],
)
def test_what_no_header_may_hold_is_refused_by_header(value: str, named: str) -> None:
    with pytest.raises(ValueError, match=f"header 'X-A': holds .*{named}"):
        check_headers({"X-B": "fine", "X-A": value})


def test_names_that_differ_in_case_are_the_same_header() -> None:
    with pytest.raises(ValueError, match="'x-a' is there twice"):
        check_headers({"X-A": "1", "x-a": "2"})


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], include_characters="\t")))
def test_any_other_text_may_be_a_value(value: str) -> None:
    check_header_value(value)


@pytest.mark.parametrize("text", ["\0", "\x08", "\x0b", "\x0c", "\x1b", "\ud800"])
def test_bodies_hold_no_control_characters(text: str) -> None:
    with pytest.raises(ValueError, match="which no body may hold"):
        check_body(f"a{text}b")


def test_bodies_may_hold_tabs_and_every_kind_of_line() -> None:
    check_body("a\tb\nc\r\nd\re\u2028f\x85g\x7f")
