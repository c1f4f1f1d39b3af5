"""A stored URL as it may stand in a `Location` header: ASCII, one line, http or https, the same place.

The URL as decoded from the email stays in the facts; only what goes on the wire is mended here. WHATWG URL
(section 4.4) drops tab, CR and LF, and so do we; RFC 3986 wants ASCII, so the rest is percent-encoded as UTF-8
(RFC 3987 section 3.1) and a host becomes IDNA.
"""

import re
from urllib.parse import quote

import idna

_DROPPED = {ord(character): None for character in "\t\n\r"}
_STRIPPED = "".join(map(chr, range(0x21)))  # C0 controls and space
_PARTS = re.compile(r"(https?:)([/\\]*)([^/\\?#]*)(.*)\Z", re.ASCII | re.IGNORECASE | re.DOTALL)
# Printable ASCII stays as it is, `%` of existing escapes included.
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F))


def location(url: str) -> str | None:
    """The header's value, or None for anything but an http or https URL."""
    found = _PARTS.match(url.translate(_DROPPED).strip(_STRIPPED))
    if found is None:
        return None
    scheme, slashes, authority, rest = found.groups()
    login, at, host = authority.rpartition("@")
    return f"{scheme}{slashes}{_ascii(login)}{at}{_host(host)}{_ascii(rest)}"


def _ascii(text: str) -> str:
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return quote(text, safe=_SAFE, errors="replace")


def _host(host: str) -> str:
    if host.isascii():
        return _ascii(host)
    name, colon, port = host.partition(":")
    try:
        return idna.encode(name, uts46=True, transitional=False).decode("ascii") + colon + _ascii(port)
    except idna.IDNAError:
        pass
    # Browsers take hosts that RFC 5891 forbids (☃.example): the same Punycode without its rules.
    labels = (
        label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii") for label in _labels(name)
    )
    return _ascii(".".join(labels)) + colon + _ascii(port)


def _labels(name: str) -> list[str]:
    # Lone surrogates have no Punycode; the three other full stops are IDNA's (RFC 3490 section 3.1).
    clean = name.encode("utf-8", "replace").decode("utf-8").casefold()
    return re.split("[.\u3002\uff0e\uff61]", clean)
