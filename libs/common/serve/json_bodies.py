"""Reading JSON that a stranger wrote: refused by its size in members before anything is built of it.

What costs is not bytes but members: a parser builds an object for each, and a validator an error for each that is
wrong. So the members are counted on the raw bytes first, by searches that run at memory speed.
"""

import json
from typing import Any

import orjson

from libs.common.errors import InvalidError

MAX_MEMBERS = 5_000
"""Members of objects and items of lists in one request, all levels together. An email with every list full has 700."""
OFF_LOOP_BYTES = 64 * 1024
"""A longer body is read in a thread, so that other requests go on meanwhile."""

_BOMS = ((b"\xef\xbb\xbf", "begins with a byte order mark"), (b"\xff\xfe", "is UTF-16"), (b"\xfe\xff", "is UTF-16"))
_WANTED = "send JSON in UTF-8 without a byte order mark (RFC 8259 section 8.1)"


def check_members(body: bytes) -> None:
    """Raises InvalidError for more than `MAX_MEMBERS`; commas and brackets in strings do not count."""
    if len(body) <= 2 * MAX_MEMBERS:  # `1,` is the shortest
        return
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if bare.count(b'"') <= 4 * MAX_MEMBERS:  # else there are too many strings already
        outside = b"".join(bare.split(b'"')[::2])
        if sum(map(outside.count, (b",", b"{", b"["))) <= MAX_MEMBERS:
            return
    raise InvalidError([("body", f"has more than {MAX_MEMBERS} members and list items, which no request needs")])


def parse_json(body: bytes) -> Any:
    """The parsed body. Raises InvalidError naming `body`, or the member that holds a lone surrogate."""
    check_members(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        # orjson says "failed to allocate memory" of more than 1,024 levels.
        reason = str(error).replace("failed to allocate memory", "nested too deeply")
    if (encoding := _wrong_encoding(body)) is not None:
        raise InvalidError([("body", encoding)])
    try:
        path = _surrogate(json.loads(body), ())
    except (ValueError, RecursionError):
        path = None
    if path is not None:
        raise InvalidError([(path or "body", "holds half of a surrogate pair, which is no character")])
    raise InvalidError([("body", f"is not valid JSON: {reason}" if body else "is missing")])


def _wrong_encoding(body: bytes) -> str | None:
    """A sentence about a body that is text in another encoding; None for UTF-8, valid JSON or not."""
    for mark, words in _BOMS:
        if body.startswith(mark):
            return f"{words}: {_WANTED}"
    if b"\0" in body[:4]:
        return f"looks like UTF-16 or UTF-32: {_WANTED}"
    try:
        body.decode()
    except UnicodeDecodeError as error:
        octet = body[error.start]
        return f"is not UTF-8 (byte 0x{octet:02X} at {error.start}; it may be Latin-1 or Windows-1252): {_WANTED}"
    return None


def _surrogate(value: object, path: tuple[str, ...]) -> str | None:
    if isinstance(value, str):
        return ".".join(path) if any("\ud800" <= character <= "\udfff" for character in value) else None
    inner: list[tuple[str, object]] = []
    if isinstance(value, dict):
        inner = [(str(key), member) for key, member in value.items()]
        if any(_surrogate(key, ()) is not None for key, _ in inner):
            return ".".join(path)
    elif isinstance(value, list):
        inner = [(str(index), member) for index, member in enumerate(value)]
    return next((found for key, item in inner if (found := _surrogate(item, (*path, key))) is not None), None)
