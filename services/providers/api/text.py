"""Kinds of text that requests are made of: what could break a header, a log line or a page is refused here."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field

# C0, DEL, C1, line and paragraph separators, surrogates.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# A host is part of a command line, a log line and an error: nothing but what names and addresses are made of.
_HOST = re.compile(r"\[?[\w.:%-]+\]?\Z")


def _printable(text: str) -> str:
    if _UNPRINTABLE.search(text):
        raise ValueError("holds a control character")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


def _host(text: str) -> str:
    host = text.strip()
    if not host:
        raise ValueError("must not be blank")
    if not _HOST.match(host):
        raise ValueError("is not a host name or address")
    return host


Line = Annotated[str, AfterValidator(_printable)]
"""Text without line breaks and other control characters."""

Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable), AfterValidator(_not_blank)]
"""1 to 255 characters, not blank."""

Secret = Annotated[str, Field(max_length=1024), AfterValidator(_printable)]
"""A user name, password or key."""

Host = Annotated[str, Field(max_length=255), AfterValidator(_printable), AfterValidator(_host)]
"""A host name or address, trimmed."""

KeptHost = Annotated[
    str, Field(max_length=255), AfterValidator(lambda text: text if text == "" else _host(_printable(text)))
]
"""The same in a change, where "" means unchanged."""

Port = Annotated[int, Field(ge=1, le=65535)]
