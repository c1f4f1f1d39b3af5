"""Which header fields a caller may add to a message, and what may stand in them."""

import re
from collections.abc import Iterator, Mapping

from services.sender.domain.addresses import UNPRINTABLE

MAX_HEADERS = 100
MAX_VALUE = 8_000
"""Characters; the message builder folds long values (RFC 5322 section 2.1.1)."""

# RFC 5322 section 2.2: printable US-ASCII but the colon. The length keeps a folded first line under 78.
_NAME = re.compile(r"[!-9;-~]{1,76}\Z")

OURS = frozenset(
    "from to cc bcc sender subject date message-id dkim-signature received return-path".split()  # noqa: SIM905 - legible
)
"""Fields that this system writes itself, or whose presence would lie."""
OUR_PREFIXES = ("mime-", "content-", "x-ses-", "x-temps-")
"""Also whole families: the structure of the message, and orders to a relay."""


def header_problems(headers: Mapping[str, str], *, has_reply_to: bool) -> Iterator[tuple[str, str]]:
    """`(field, message)` for each header that cannot be sent; `has_reply_to` when the body's own member is used."""
    if len(headers) > MAX_HEADERS:
        yield "headers", f"has more than {MAX_HEADERS} members"
        return
    seen: set[str] = set()
    for name, value in headers.items():
        lowered = name.lower()
        if not _NAME.match(name):
            yield "headers", f"{name[:80]!r} is not a header name"
        elif lowered in OURS or lowered.startswith(OUR_PREFIXES):
            yield f"headers.{name}", "is written by this system"
        elif lowered in seen:
            yield f"headers.{name}", "is given twice"
        elif lowered == "reply-to" and has_reply_to:
            yield f"headers.{name}", "is also given as reply_to"
        elif len(value) > MAX_VALUE:
            yield f"headers.{name}", f"has more than {MAX_VALUE} characters"
        elif UNPRINTABLE.search(value.replace("\t", " ")):
            yield f"headers.{name}", "holds a line break or another control character"
        seen.add(lowered)
