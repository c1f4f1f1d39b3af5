"""Kinds of text that requests are made of: what could break a header, a log line or a page is refused here."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from libs.common.relay.host_name import check_helo_name, check_host

# C0, DEL, C1, line and paragraph separators, surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# A key travels in an HTTP header (RFC 9110 section 5.5); a space in one came along when it was copied.
_KEY = re.compile(r"[!-~]*")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_URL = re.compile(r"[!-~]+")


def _printable(text: str) -> str:
    if _UNPRINTABLE.search(text):
        raise ValueError("holds a control character")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _key(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise ValueError("holds a space or a character that is not ASCII")
    return text


def _uuid(text: str) -> str:
    if not _UUID.fullmatch(text.lower()):
        raise ValueError("is not a UUID")
    return text.lower()


def _endpoint(text: str) -> str:
    """An address to send signed requests to: nothing that would change what is asked there, or give something away."""
    wrong = ValueError("is not a URL like https://email.example.com")
    if not _URL.fullmatch(text):
        raise wrong
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise wrong
    try:
        check_host(parts.hostname)
    except ValueError:
        raise ValueError("names no host") from None
    if "@" in parts.netloc or "?" in text or "#" in text or "\\" in text:
        raise ValueError("must hold no user, query or fragment")
    return text


Line = Annotated[str, AfterValidator(_printable)]
"""Text without line breaks and other control characters."""

Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable), AfterValidator(_not_blank)]
"""1 to 255 characters, not blank."""

Secret = Annotated[str, Field(max_length=1024), AfterValidator(_printable)]
"""A user name, password or key."""

Host = Annotated[str, Field(max_length=255), AfterValidator(_printable), AfterValidator(check_host)]
"""A host name or address, trimmed."""

HeloName = Annotated[str, Field(max_length=255), AfterValidator(_printable), AfterValidator(check_helo_name)]
"""A host name in lower-case ASCII, or an address literal."""

KeptHost = Annotated[
    str, Field(max_length=255), AfterValidator(lambda text: text if text == "" else check_host(_printable(text)))
]
"""The same in a change, where "" means unchanged."""

Key = Annotated[str, Field(max_length=1024), AfterValidator(_key)]
"""An access key or a secret one: ASCII without spaces."""

Id = Annotated[str, AfterValidator(_uuid)]
"""A UUID in lower case."""

KeptId = Annotated[str, AfterValidator(lambda text: text if text == "" else _uuid(text))]
"""The same in a change, where "" means unchanged."""

EndpointUrl = Annotated[str, Field(max_length=512), AfterValidator(_endpoint)]
"""An http or https URL without user, query and fragment."""

KeptUrl = Annotated[str, Field(max_length=512), AfterValidator(lambda text: text if text == "" else _endpoint(text))]
"""The same in a change, where "" means unchanged."""

Port = Annotated[int, Field(ge=1, le=65535)]
