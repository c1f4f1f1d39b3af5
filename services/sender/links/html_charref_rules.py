"""Character references in attribute values: `html.unescape` is for text, where `&copy=1` begins with a sign.

WHATWG HTML 13.2.5.72 to 13.2.5.80 and 13.5 (names); the names themselves are Python's own table.
"""

import re
from html.entities import html5

_REFERENCE = re.compile(r"&(?:#[xX]([0-9A-Fa-f]++);?|#([0-9]++);?|([A-Za-z0-9]++)(;|=?))", re.ASCII)
_REPLACEMENT = "\ufffd"
_LAST = 0x10FFFF
_UNASSIGNED = b"\x81\x8d\x8f\x90\x9d"
_WINDOWS_1252 = {code: bytes([code]).decode("cp1252") for code in range(0x80, 0xA0) if code not in _UNASSIGNED}


def decode_attribute(value: str) -> str:
    """An attribute's value as a parser hands it on: one kind of newline, no NUL, references decoded."""
    if "\r" in value:
        value = value.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in value:
        value = value.replace("\0", _REPLACEMENT)
    return _REFERENCE.sub(_decode, value) if "&" in value else value


def _decode(reference: re.Match[str]) -> str:
    hexadecimal, decimal, name, tail = reference.groups()
    if hexadecimal:
        return _character(hexadecimal, 16)
    if decimal:
        return _character(decimal, 10)
    if tail == ";":
        return html5.get(f"{name};", reference[0])
    # Without a semicolon a name counts only if neither "=" nor a letter or digit follows: as a whole.
    return reference[0] if tail else html5.get(name, reference[0])


def _character(digits: str, base: int) -> str:
    digits = digits.lstrip("0")
    if len(digits) > 7:  # beyond Unicode in either base; int() of a megabyte of digits would not be linear
        return _REPLACEMENT
    code = int(digits or "0", base)
    if code == 0 or code > _LAST or 0xD800 <= code <= 0xDFFF:
        return _REPLACEMENT
    return _WINDOWS_1252.get(code, chr(code))
