"""Header hygiene: what of a request goes on to a service, and what of the answer goes back."""

import re
from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

_SANE_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")

_HOP_BY_HOP = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
)
"""RFC 9110 section 7.6.1: they are about one connection, not about the request."""

_NOT_FORWARDED = _HOP_BY_HOP | {
    b"authorization",  # the principal says who calls; secrets travel no further than they must
    b"cookie",
    b"proxy-authorization",
    b"host",
    b"content-length",  # framed anew
    b"expect",  # answered here
    b"forwarded",  # only the gateway knows where the request came from
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
    b"x-request-id",
}
_NOT_RETURNED = _HOP_BY_HOP | {b"date", b"server", b"x-request-id", b"proxy-authenticate"}
_PLAIN_CONNECTION = frozenset({b"keep-alive", b"close", b"Keep-Alive", b"Close"})
_OURS = b"temps-"


def sane_request_id(value: bytes | None) -> bytes | None:
    """The caller's own request id, if it cannot do harm in a log line."""
    return value if value is not None and _SANE_ID.fullmatch(value) else None


def forwarded(headers: Iterable[tuple[bytes, bytes]], connection: bytes | None) -> list[bytes]:
    """The header lines that go on; names are lower case. A caller's own `Temps-*` never does."""
    dropped = _NOT_FORWARDED
    if connection is not None and connection not in _PLAIN_CONNECTION:
        dropped = dropped | {token.strip().lower() for token in connection.split(b",")}
    return [
        b"%b: %b\r\n" % (name, value) for name, value in headers if name not in dropped and not name.startswith(_OURS)
    ]


def returned(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers that go back to the caller."""
    return [header for header in headers if header[0] not in _NOT_RETURNED and not header[0].startswith(_OURS)]
