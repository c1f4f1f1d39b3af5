"""Makes provider texts safe to show: no control characters, no credentials, limited length."""

import base64
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

_TEXT_LIMIT = 512
# Control characters, line separators and the marks that turn text around are not for consoles or logs.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without control characters, at most 512 characters long, `***` in place of each of the `secrets`.

    They are replaced in the order given: one that is part of another comes after it, as `spellings` has them.
    """
    for secret in secrets:
        if secret in text:
            text = text.replace(secret, "***")
    if not text.isprintable():
        text = _UNPRINTABLE.sub(" ", text)
    return text[:_TEXT_LIMIT].strip()


def spellings(*secrets: str) -> tuple[str, ...]:
    """Every way in which a provider may repeat these: as they are, percent-encoded, in base64; longest first.

    Some leave the padding of base64 away.
    """
    found = set()
    for text in secrets:
        coded = base64.b64encode(text.encode()).decode()
        found |= {text, quote(text, safe=""), quote(text), quote_plus(text), coded, coded.rstrip("=")}
    return tuple(sorted(found - {""}, key=len, reverse=True))
