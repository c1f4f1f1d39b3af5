"""Checks that a request's head is unambiguous about where the request ends and which host it is for (RFC 9112).

What two servers on the way could read in two ways is how requests are smuggled past a proxy: so it is refused.
"""

import re
from collections.abc import Sequence

Headers = Sequence[tuple[bytes, bytes]]

# RFC 9110 section 7.2: uri-host and port, no more.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?")


def head_fault(http_version: str, headers: Headers) -> str | None:
    """The fault of a head, as a sentence; None if it has none. Names in `headers` are in lower case."""
    hosts = [value for name, value in headers if name == b"host"]
    if http_version != "1.0" and not hosts:
        return "A request of HTTP/1.1 needs the header Host (RFC 9112 section 3.2)."
    if len(hosts) > 1:
        return "The header Host is there more than once (RFC 9112 section 3.2)."
    if hosts and not _HOST.fullmatch(hosts[0]):
        return "The header Host is not a host name with an optional port (RFC 9110 section 7.2)."
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    if codings and http_version == "1.0":
        return "HTTP/1.0 knows no Transfer-Encoding (RFC 9112 section 6.1)."
    if codings and [coding.strip().lower() for coding in codings] != [b"chunked"]:
        return "Transfer-Encoding must be chunked, once and alone (RFC 9112 section 6.1)."
    return None


def without_upgrade(headers: Headers) -> bytes:
    """The head of a request that has the same framing and asks for no other protocol."""
    kept = [b"POST / HTTP/1.1\r\n"]
    kept += [b"%b: %b\r\n" % (name, value) for name, value in headers if name in _FRAMING]
    if any(name == b"connection" and b"close" in value.lower() for name, value in headers):
        kept.append(b"connection: close\r\n")
    return b"".join([*kept, b"\r\n"])


_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
