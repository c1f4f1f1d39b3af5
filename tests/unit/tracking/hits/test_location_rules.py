"""What may stand in a Location header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.tracking.hits.location_rules import location


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://example.com/a?b=c&d=e#f", "https://example.com/a?b=c&d=e#f"),
        ("HTTP://Example.COM", "HTTP://Example.COM"),
        ("  https://example.com/ \n", "https://example.com/"),
        ("https://exa\r\nmple.com/a\tb", "https://example.com/ab"),
        ("https://example.com/\r\nSet-Cookie: a=b", "https://example.com/Set-Cookie:%20a=b"),
        ("https://example.com/grüße?q=ä b#ü", "https://example.com/gr%C3%BC%C3%9Fe?q=%C3%A4%20b#%C3%BC"),
        ("https://example.com/100%25%20", "https://example.com/100%25%20"),
        ("https://bücher.example:8443/x", "https://xn--bcher-kva.example:8443/x"),
        ("https://BÜCHER.example", "https://xn--bcher-kva.example"),
        ("https://user:pä@bücher.example/", "https://user:p%C3%A4@xn--bcher-kva.example/"),
        ("https://☃.example/", "https://xn--n3h.example/"),
        ("https://[2001:db8::1]:80/", "https://[2001:db8::1]:80/"),
        ("https:\\\\example.com\\ä", "https://example.com\\%C3%A4"),
        ("https://example.com/\x00a\x1f", "https://example.com/%00a"),
    ],
)
def test_the_same_place_in_ascii_on_one_line(url: str, expected: str) -> None:
    assert location(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript:alert(1)",
        "ftp://example.com",
        "//example.com",
        "/path",
        "mailto:a@b.c",
        "data:text/html,x",
        "https:///",
    ],
)
def test_anything_but_http_and_https_leads_nowhere(url: str) -> None:
    assert location(url) is None


@given(st.text(), st.text())
def test_no_text_breaks_out_of_the_header(host: str, path: str) -> None:
    target = location(f"https://h{host}/{path}")
    assert target is not None
    assert target.isascii()
    assert target.isprintable()
    assert " " not in target
