"""References in attribute values decode as a browser's parser decodes them."""

import html.entities
from html import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from services.sender.links.html_charref_rules import decode_attribute

PIECES = [
    "&", "&amp", "&amp;", "&copy", "&notit;", "&notin;", "&not", "&lang;", "&NotEqualTilde;",
    "&CounterClockwiseContourIntegral;", "&#", "&#x", "&#65", "&#65;", "&#x41;", "&#X41", "&#0;", "&#128;",
    "&#x9f;", "&#x81;", "&#xD800;", "&#x110000;", "&#1;", "&#xFDD0;", "&#13;", "&#99999999999;",
    "&#0000000000000065;", "=", ";", "x", "1", "é", "\r\n", "\r", "\n", "&bogus;", "&bogus", " ",
]  # fmt: skip


def parsed(value: str) -> str | None:
    node = LexborHTMLParser(f'<p title="{value}">').css_first("p")
    assert node is not None
    return node.attributes["title"] or ""


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_values_decode_as_a_browser_decodes_them(value: str) -> None:
    assert decode_attribute(value) == parsed(value)


def test_every_name_decodes_as_a_browser_decodes_it() -> None:
    for name in html.entities.html5:
        for value in (f"&{name}", f"&{name}=", f"&{name}x", f"&{name} "):
            assert decode_attribute(value) == parsed(value), value


@given(st.text(st.characters(exclude_characters="\r\0")))
def test_what_was_escaped_comes_back(value: str) -> None:
    assert decode_attribute(escape(value)) == value


@pytest.mark.parametrize(
    ("value", "decoded"),
    [
        ("http://h/?a=1&amp;b=2", "http://h/?a=1&b=2"),
        ("http://h/?a=1&copy=2", "http://h/?a=1&copy=2"),
        ("http://h/?a=1&copy", "http://h/?a=1©"),
        ("a\0b", "a\ufffdb"),
        ("&#" + "9" * 100_000, "\ufffd"),
    ],
)
def test_query_strings_keep_their_names(value: str, decoded: str) -> None:
    assert decode_attribute(value) == decoded
