"""Bodies that strangers write: bounded before they are parsed, and refused in words that help."""

import json
import time
from contextlib import nullcontext

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import MAX_FIELD_ERRORS, InvalidError
from libs.common.web import json_bodies
from libs.common.web.json_bodies import MAX_ESCAPES, MAX_MEMBERS, check_members, parse_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)


def message_of(body: bytes) -> str:
    with pytest.raises(InvalidError) as refused:
        parse_json(body)
    (error,) = refused.value.extra["errors"]
    assert error["field"] == "body"
    return str(error["message"])


@given(VALUES)
def test_ordinary_json_is_read_as_it_is(value: object) -> None:
    assert parse_json(orjson.dumps(value)) == value


@pytest.mark.parametrize(
    "body",
    [
        orjson.dumps({f"m{number}": 1 for number in range(MAX_MEMBERS + 1)}),
        orjson.dumps([0] * (MAX_MEMBERS + 2)),
        b"[" * 100_000,
        orjson.dumps([{"a": [1]}] * (MAX_MEMBERS // 3 + 10)),
        orjson.dumps([""] * 50_000),
    ],
    ids=["members", "items", "depth", "nested", "empty strings"],
)
def test_a_body_of_too_many_members_is_refused_unread(body: bytes) -> None:
    assert message_of(body).startswith(f"has more than {MAX_MEMBERS} members")


@pytest.mark.parametrize(
    "text", [",[{" * 100_000, '",' * 100_000, "\\" * 100_000, '\\",{' * 50_000, '\\\\"' * 30_000, "é,\n" * 50_000]
)
def test_what_stands_in_strings_does_not_count(text: str) -> None:
    body = json.dumps({"html": text, "tags": ["a"] * 50}).encode()
    check_members(body)
    assert parse_json(body)["html"] == text


SPECIAL = st.text('\\",[{a', max_size=60)


@pytest.mark.parametrize("members", [10, 11], ids=["as many as may be", "one more"])
@given(first=SPECIAL, second=SPECIAL, piece=st.integers(1, 9))
def test_where_a_piece_ends_changes_no_count(members: int, first: str, second: str, piece: int) -> None:
    body = json.dumps([first, second, *range(members - 2)]).encode()  # the bracket counts, and each comma
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_bodies, "MAX_MEMBERS", 10)
        patch.setattr(json_bodies, "_PIECE_BYTES", piece)
        with nullcontext() if members == 10 else pytest.raises(InvalidError):
            check_members(body)


def test_more_escapes_than_two_full_texts_have_are_refused() -> None:
    text = b"\\n" * (MAX_ESCAPES // 2)
    assert len(parse_json(b'["' + text + b'","' + text + b'"]')) == 2
    assert message_of(b'["' + text + b'","\\\\' + text + b'"]').startswith(f"has more than {MAX_ESCAPES} escaped")


def test_fourteen_megabytes_of_members_cost_milliseconds() -> None:
    body = b'{"x":0' + b',"aaaaaaaa":0' * 1_200_000 + b"}"
    began = time.thread_time()
    assert "members" in message_of(body)
    assert time.thread_time() - began < 0.5


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"a":1}'.encode("utf-8-sig"), "byte order mark"),
        ('{"a":1}'.encode("utf-16"), "UTF-16"),
        ('{"a":1}'.encode("utf-16-le"), "UTF-16"),
        ('{"a":1}'.encode("utf-16-be"), "UTF-16"),
        ('{"a":1}'.encode("utf-32-le"), "UTF-16 or UTF-32"),
        ('{"a":"Grüße"}'.encode("latin-1"), "byte 0xFC at 8; it may be Latin-1"),
    ],
    ids=["bom", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"],
)
def test_another_encoding_is_named(body: bytes, words: str) -> None:
    said = message_of(body)
    assert words in said
    assert "send JSON in UTF-8 without a byte order mark" in said


def test_only_the_first_field_errors_are_listed() -> None:
    error = InvalidError([(f"field{number}", "is wrong") for number in range(50)])
    assert len(error.extra["errors"]) == MAX_FIELD_ERRORS
    assert error.detail.endswith("50 fields are wrong, the first 20 are listed")


@given(st.text(max_size=2_000), st.text(max_size=2_000))
def test_field_errors_stay_under_eight_kilobytes(field: str, message: str) -> None:
    error = InvalidError([(field, message)] * 30)
    assert len(orjson.dumps(error.extra["errors"])) <= 8 * 1024
