"""Parses a message: cheaply on arrival, fully when it is viewed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email import policy
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser

_HEADER = re.compile(rb"^(message-id|subject):((?:[^\r\n]|\r?\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_FOLD = re.compile(rb"\r?\n[ \t]")


@dataclass(frozen=True, slots=True)
class Content:
    """The readable parts; a header that occurs several times has its values on lines of their own."""

    headers: Mapping[str, str]
    html: str | None
    text: str | None


def message_id_and_subject(raw: bytes) -> tuple[str | None, str | None]:
    """Without parsing the whole message, which would take a hundred times as long."""
    found = {
        match[1].lower(): _FOLD.sub(b" ", match[2]).strip().decode("utf-8", "replace")
        for match in _HEADER.finditer(raw, 0, _end_of_headers(raw))
    }
    return found.get(b"message-id"), _decoded(found.get(b"subject"))


def content(raw: bytes) -> Content:
    """Headers decoded, and the first part of each kind of text that is no attachment (RFC 2045, 2046)."""
    message = BytesParser(policy=policy.default).parsebytes(raw)
    headers: dict[str, str] = {}
    for name, value in message.items():
        headers[name] = f"{headers[name]}\n{value}" if name in headers else str(value)
    return Content(headers, _text(message, "html"), _text(message, "plain"))


def _text(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    if part is None:
        return None
    try:
        return str(part.get_content())
    except LookupError:  # a charset that Python does not know: bytes as they are, one character each
        payload = part.get_payload(decode=True)
        return payload.decode("latin-1") if isinstance(payload, bytes) else None


def _end_of_headers(raw: bytes) -> int:
    end = raw.find(b"\r\n\r\n")
    return end + 2 if end >= 0 else len(raw)


def _decoded(subject: str | None) -> str | None:
    if subject is None or "=?" not in subject:
        return subject
    try:
        return str(make_header(decode_header(subject)))  # RFC 2047
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return subject
