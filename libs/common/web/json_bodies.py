"""Reading JSON that a stranger wrote: refused by its size in members before anything is built of it.

What costs is not bytes but members and escapes: a parser builds an object for each member, a validator an error for
each that is wrong, and a string with escapes is copied piece by piece. So both are counted on the raw bytes first, by
searches that run at memory speed, in pieces: a single search of megabytes would hold the interpreter's lock, and with
it the event loop, even from another thread.
"""

import json
from typing import Any

import orjson

from libs.common.errors import InvalidError

MAX_MEMBERS = 5_000
"""Members of objects and items of lists in one request, all levels together. An email with every list full has 700."""
MAX_ESCAPES = 5 * 2**20
"""Characters written with a backslash in one request. An html and a text of 2 MB that are nothing else have 4 M."""
OFF_LOOP_BYTES = 64 * 1024
"""A longer body is read in a thread, so that other requests go on meanwhile."""

_PIECE_BYTES = 256 * 1024
_MAX_DIAGNOSED_BYTES = 2**20
"""In a longer body the member that holds a lone surrogate is not looked for: that takes a second, slower parser."""

_BOMS = ((b"\xef\xbb\xbf", "begins with a byte order mark"), (b"\xff\xfe", "is UTF-16"), (b"\xfe\xff", "is UTF-16"))
_WANTED = "send JSON in UTF-8 without a byte order mark (RFC 8259 section 8.1)"


def check_members(body: bytes) -> None:
    """Raises InvalidError for more than `MAX_MEMBERS` or `MAX_ESCAPES`; commas and brackets in strings do not count."""
    if len(body) <= 2 * MAX_MEMBERS:  # `1,` is the shortest
        return
    members = quotes = escapes = start = 0
    while start < len(body):
        piece = _piece(body, start)
        start += len(piece)
        unpaired = piece.replace(b"\\\\", b"")
        escapes += (len(piece) - len(unpaired)) // 2 + unpaired.count(b"\\")
        between = unpaired.replace(b'\\"', b"").split(b'"')
        outside = b"".join(between[quotes % 2 :: 2])  # an odd number of quotes so far: the piece begins in a string
        members += sum(map(outside.count, (b",", b"{", b"[")))
        quotes += len(between) - 1
        if members > MAX_MEMBERS or quotes > 4 * MAX_MEMBERS:  # so many strings are too many members, too
            raise InvalidError(
                [("body", f"has more than {MAX_MEMBERS} members and list items, which no request needs")]
            )
        if escapes > MAX_ESCAPES:
            raise InvalidError([("body", f"has more than {MAX_ESCAPES} escaped characters, which no request needs")])


def _piece(body: bytes, start: int) -> bytes:
    """The next bytes to count in; a backslash at their end takes the character along that it escapes."""
    piece = body[start : start + _PIECE_BYTES]
    if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
        piece = body[start : start + _PIECE_BYTES + 1]
    return piece


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
    if "surrogate in string" in reason:
        raise InvalidError([(_holder(body) or "body", "holds half of a surrogate pair, which is no character")])
    raise InvalidError([("body", f"is not valid JSON: {reason}" if body else "is missing")])


def _holder(body: bytes) -> str | None:
    """The path of the member that holds a lone surrogate, as far as the rest is JSON."""
    if len(body) > _MAX_DIAGNOSED_BYTES:
        return None
    try:
        return _surrogate(json.loads(body), ())
    except (ValueError, RecursionError):
        return None


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
