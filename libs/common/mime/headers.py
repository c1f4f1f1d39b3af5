"""Which header fields a caller may set, and what no text from outside may bring into a message."""

import re
from collections.abc import Mapping

# RFC 5322 3.6.8 without the colon; with the colon, 76 characters leave a line that may be folded after it.
_NAME = re.compile(r"[!-9;-~]{1,76}")

# C0 but TAB, DEL, and what Unicode takes for a line break: some reader down the road would see two lines. Lone
# surrogates are valid JSON and no valid UTF-8.
_REFUSED_IN_VALUES = re.compile("[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]")
_REFUSED_IN_BODIES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")

_OWNED = frozenset({
    "from", "to", "cc", "bcc", "sender", "subject", "date", "message-id", "dkim-signature", "received", "return-path",
    "x-temps-email-id",
})  # fmt: skip
_OWNED_PREFIXES = ("mime-", "content-", "x-ses-")  # SES takes orders (configuration sets, ARNs) from X-SES-*

_NAMES = {
    "\r": "CR",
    "\n": "LF",
    "\0": "NUL",
    "\x85": "NEL",
    "\u2028": "line separator",
    "\u2029": "paragraph separator",
}


def check_headers(headers: Mapping[str, str]) -> None:
    """Raises ValueError naming the first header that is not allowed, or whose value is not."""
    seen: set[str] = set()
    for name, value in headers.items():
        check_header_name(name)
        if name.lower() in seen:
            raise ValueError(f"header {name!r} is there twice, names are alike in upper and lower case")
        seen.add(name.lower())
        try:
            check_header_value(value)
        except ValueError as error:
            raise ValueError(f"header {name!r}: {error}") from error


def check_header_name(name: str) -> None:
    """Raises ValueError for what is no header name, or one that belongs to us."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a header name: 1 to 76 printable ASCII characters, no space, no colon")
    lower = name.lower()
    if lower in _OWNED or lower.startswith(_OWNED_PREFIXES):
        raise ValueError(f"header {name!r} is set by this system and cannot be given")


def check_header_value(value: str) -> None:
    """Raises ValueError when a value, name, address or subject could break out of its header."""
    if found := _REFUSED_IN_VALUES.search(value):
        raise ValueError(f"holds {_described(found[0])}, which no header may hold")


def check_body(text: str) -> None:
    """Raises ValueError for control characters other than TAB, CR and LF, and for lone surrogates."""
    if found := _REFUSED_IN_BODIES.search(text):
        raise ValueError(f"holds {_described(found[0])}, which no body may hold")


def _described(character: str) -> str:
    code = f"U+{ord(character):04X}"
    if "\ud800" <= character <= "\udfff":
        return f"a lone surrogate ({code})"
    return f"{_NAMES[character]} ({code})" if character in _NAMES else f"a control character ({code})"
