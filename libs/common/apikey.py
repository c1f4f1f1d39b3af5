"""API keys: `tk_<prefix>_<secret><checksum>`, recognisable offline, 256 random bits.

The checksum (CRC-32 in base62, after GitHub's token format of 2021) tells a mistyped key from an unknown one without
a look-up, and lets secret scanners be sure. With 256 random bits a plain SHA-256 is a safe thing to store.
"""

import hashlib
import re
import secrets
import string
import zlib

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX, _SECRET, _CHECK = 8, 43, 6
_FORM = re.compile(rf"tk_([0-9A-Za-z]{{{_PREFIX}}})_([0-9A-Za-z]{{{_SECRET}}})([0-9A-Za-z]{{{_CHECK}}})")


def new_key() -> str:
    """A fresh key: 43 base62 characters are 256 bits."""
    prefix = "".join(secrets.choice(ALPHABET) for _ in range(_PREFIX))
    secret = "".join(secrets.choice(ALPHABET) for _ in range(_SECRET))
    return f"tk_{prefix}_{secret}{_checksum(prefix + secret)}"


def is_well_formed(key: str) -> bool:
    """True if `key` has the right form and checksum."""
    found = _FORM.fullmatch(key)
    return found is not None and found[3] == _checksum(found[1] + found[2])


def display_prefix(key: str) -> str:
    """The part of a key that may be shown: `tk_` and its prefix."""
    return key[: 3 + _PREFIX]


def digest(key: str) -> str:
    """The stored form of a key: its SHA-256 in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def _checksum(text: str) -> str:
    number, digits = zlib.crc32(text.encode("ascii")), ""
    for _ in range(_CHECK):
        number, rest = divmod(number, len(ALPHABET))
        digits = ALPHABET[rest] + digits
    return digits
