"""Bodies come back as they were stored, or not at all."""

import zlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.jetstream.content import (
    DEFLATED,
    EMAIL_ID_HEADER,
    PLAIN,
    Content,
    ContentError,
    content_of,
    decode_content,
    encode_content,
    sha256_of,
)

texts = st.none() | st.text(st.characters(exclude_categories=["Cs"]))


@given(
    st.builds(
        Content,
        text=texts,
        html=texts,
        tracked_html=texts,
        headers=st.dictionaries(st.text("abc"), st.text("xyz")),
    )
)
def test_what_is_stored_comes_back(content: Content) -> None:
    assert decode_content(encode_content(content)) == content


def test_long_bodies_are_deflated_and_short_ones_are_not() -> None:
    assert encode_content(Content(text="short")).startswith(PLAIN)
    long = encode_content(Content(html="<p>again</p>" * 1_000))
    assert long.startswith(DEFLATED)
    assert len(long) < 500
    assert decode_content(long).html == "<p>again</p>" * 1_000


def test_the_same_content_has_the_same_bytes() -> None:
    content = Content(text="x" * 1_000, headers={"b": "1", "a": "2"})
    assert sha256_of(encode_content(content)) == sha256_of(encode_content(content))


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"\x07{}",
        PLAIN,
        PLAIN + b"[]",
        PLAIN + b'{"text": null}',
        DEFLATED + b"junk",
        encode_content(Content(text="x" * 5_000))[:-5],
    ],
)
def test_anything_else_is_refused(stored: bytes) -> None:
    with pytest.raises(ContentError):
        decode_content(stored)


def test_a_small_stream_that_would_fill_the_memory_is_refused() -> None:
    bomb = DEFLATED + zlib.compress(orjson.dumps({"text": "x" * (65 * 2**20)}))
    with pytest.raises(ContentError, match="too long"):
        decode_content(bomb)


def test_a_content_that_is_not_this_emails_is_refused() -> None:
    stored = encode_content(Content(text="mine"))
    reference, header = {"sha256": sha256_of(stored)}, {EMAIL_ID_HEADER.lower(): "a"}
    assert content_of("a", reference, stored, header).text == "mine"
    with pytest.raises(ContentError, match="not this email's"):
        content_of("b", reference, stored, header)
    with pytest.raises(ContentError, match="not this email's"):
        content_of("a", reference, stored, {})
    with pytest.raises(ContentError, match="not this email's"):
        content_of("a", reference, encode_content(Content(text="another's")), header)
