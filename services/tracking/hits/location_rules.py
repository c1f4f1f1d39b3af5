"""A stored URL as it may stand in a `Location` header: ASCII, one line, http or https, the same place.

The URL as decoded from the email stays in the facts; only what goes on the wire is mended here. WHATWG URL
(section 4.4) drops tab, CR and LF, and so do we; RFC 3986 wants ASCII, so the rest is percent-encoded as UTF-8
(RFC 3987 section 3.1) and a host becomes IDNA.
"""

import re
from urllib.parse import quote, unquote

import idna

_DROPPED = {ord(character): None for character in "\t\n\r"}
_STRIPPED = "".join(map(chr, range(0x21)))  # C0 controls and space
_PARTS = re.compile(r"(https?:)[/\\]*([^/\\?#]*)(.*)\Z", re.ASCII | re.IGNORECASE | re.DOTALL)
# Printable ASCII stays as it is, `%` of existing escapes included.
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F))

# WHATWG URL, section 3.1: the printable ones of the forbidden domain code points.
_IN_HOSTS = "".join(character for character in _SAFE if character not in "#/:<>?@[\\]^|%")


def location(url: str) -> str | None:
    """The header's value, or None for anything but an http or https URL with a host.

    In an email `https:shop.example` leads to that host, however many slashes it has; in a `Location` it would be a path
    of ours (WHATWG URL, section 4.4, *special relative or authority state*). So two are always written.
    """
    found = _PARTS.match(url.translate(_DROPPED).strip(_STRIPPED))
    if found is None:
        return None
    scheme, authority, rest = found.groups()
    login, at, host = authority.rpartition("@")
    if not host:
        return None
    return f"{scheme}//{_ascii(login)}{at}{_host(host)}{_ascii(rest)}"


def _ascii(text: str) -> str:
    if text.isascii() and text.isprintable() and " " not in text:
        return text
    return quote(text, safe=_SAFE, errors="replace")


def _host(host: str) -> str:
    """What a browser makes of it (WHATWG URL, section 3.5, *host parser*): UTS 46 without STD 3, then Punycode.

    RFC 5891 forbids hosts that browsers open all the same (☃.example), so its rules are not asked. Where a mapping
    yields what separates the parts of a URL, it stays encoded: the browser refuses such a host, as it did the original.
    """
    if host.isascii():
        return _ascii(host)
    name, colon, port = host.partition(":")
    decoded = unquote(name, errors="replace") if "%" in name else name
    decoded = decoded.encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no Punycode
    try:
        mapped = idna.uts46_remap(decoded, std3_rules=False, transitional=False)
    except idna.IDNAError:
        return _refused(name) + colon + _ascii(port)
    if any(label.startswith("xn--") and not label.isascii() for label in mapped.split(".")):
        return _refused(name) + colon + _ascii(port)  # Punycode of Punycode would be a host that the email did not name
    return quote(".".join(map(_label, mapped.split("."))), safe=_IN_HOSTS) + colon + _ascii(port)


def _refused(name: str) -> str:
    """A name that no host may have: no browser opens it, so it goes out as it came, in ASCII."""
    return quote(name, safe=_IN_HOSTS, errors="replace")


def _label(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")
