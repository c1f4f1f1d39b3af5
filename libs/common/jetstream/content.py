"""How an email's bodies are stored in MAIL_CONTENT: written when it is accepted, read when it is sent or shown.

The first byte says how the rest is to be read, so that the form may change while old content is still there.
A stored content is addressed by sequence; `EMAIL_ID_HEADER` and the SHA-256 in the fact say whether it is still the
same one (a lost tail re-uses sequences for something else).
"""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

EMAIL_ID_HEADER = "Temps-Email-Id"

PLAIN = b"\x00"
"""JSON as it is."""
DEFLATED = b"\x01"
"""JSON in a zlib stream (RFC 1950)."""

_WORTH_DEFLATING = 512
# Level 1 costs 15-50 µs for a usual body, higher levels gain a few percent; a small memory level spares the
# clearing of a quarter of a megabyte for each email.
_LEVEL, _WINDOW, _MEMORY = 1, 15, 4
_MAX_BYTES = 64 * 2**20
"""Far more than an email may hold: a damaged stream must not take the memory."""


@dataclass(frozen=True, slots=True)
class Content:
    """The parts of an email that its facts omit. `html` as submitted, `tracked_html` as sent (None if not tracked)."""

    text: str | None = None
    html: str | None = None
    tracked_html: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class ContentError(ValueError):
    """These bytes are no stored content."""


def encode_content(content: Content) -> bytes:
    """The bytes to store. Raises TypeError for text that is no Unicode (lone surrogates)."""
    plain = orjson.dumps(
        {
            "text": content.text,
            "html": content.html,
            "tracked_html": content.tracked_html,
            "headers": dict(content.headers),
        }
    )
    if len(plain) < _WORTH_DEFLATING:
        return PLAIN + plain
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY)
    return DEFLATED + deflate.compress(plain) + deflate.flush()


def decode_content(stored: bytes) -> Content:
    """Decode stored content. Raises ContentError."""
    try:
        raw = orjson.loads(_plain(stored))
        return Content(raw["text"], raw["html"], raw["tracked_html"], raw["headers"])
    except (KeyError, TypeError, ValueError, zlib.error) as error:
        raise ContentError(f"not a stored content: {error!r}") from error


def content_of(email_id: str, reference: Mapping[str, Any], stored: bytes, headers: Mapping[str, str]) -> Content:
    """The content that a fact's `reference` names, out of the message that is at its sequence.

    A lost tail of the log re-uses sequences: the email's id in the header and the SHA-256 have to agree with the fact,
    or another email's bodies would be sent and shown. Raises ContentError.
    """
    owner = next((value for name, value in headers.items() if name.lower() == EMAIL_ID_HEADER.lower()), None)
    if owner != email_id or sha256_of(stored) != reference["sha256"]:
        raise ContentError("it is not this email's any more")
    return decode_content(stored)


def sha256_of(stored: bytes) -> str:
    """The SHA-256 of stored bytes in hex, as the fact names it."""
    return hashlib.sha256(stored).hexdigest()


def _plain(stored: bytes) -> bytes:
    form, rest = stored[:1], stored[1:]
    if form == PLAIN:
        return rest
    if form != DEFLATED:
        raise ContentError(f"unknown form {form!r}")
    inflate = zlib.decompressobj(_WINDOW)
    plain = inflate.decompress(rest, _MAX_BYTES)
    if not inflate.eof:
        raise ContentError("the stream ends early or is too long")
    return plain
