"""Addresses as people write them, to what goes on the wire: `Name <local@domain>` (RFC 5322 section 3.4).

Domains become lower case and IDNA (RFC 5891, UTS 46). Local parts stay as they are, non-ASCII ones included
(RFC 6531). Refused although RFC 5322 has them: address literals, groups, comments, and quoted local parts with a
space or an angle bracket, which no relay's command line could carry safely.
"""

import re

import idna

from libs.common.events.email import Party

_MAX_TEXT = 1_000
_MAX_LOCAL = 64  # octets, RFC 5321 section 4.5.3.1.1
_MAX_ADDRESS = 254  # octets: a path of 256 with its angle brackets, RFC 5321 section 4.5.3.1.3
_MAX_DOMAIN = 253  # characters without the root's dot, RFC 1035 section 2.3.4

# C0, DEL, C1, the line and paragraph separators, surrogates: no header and no command line may hold one.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_PLAIN = re.compile(rf"([{_ATEXT}]+(?:\.[{_ATEXT}]+)*)@([A-Za-z0-9.\-]+)\Z")
_LOCAL = re.compile(rf"[{_ATEXT}\u00a1-\U0010ffff]+(?:\.[{_ATEXT}\u00a1-\U0010ffff]+)*\Z")
_QUOTED_LOCAL = re.compile(r'"[!#-;=?-\[\]-~]+"\Z')
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?\Z")
_NAMED = re.compile(r"\s*(.*?)\s*<([^<>]*)>\s*\Z", re.DOTALL)
_QUOTED_NAME = re.compile(r'"((?:[^"\\]|\\.)*)"\Z')
_ESCAPED = re.compile(r"\\(.)")
_SPECIALS = re.compile(r'[,;:<>@\\"\[\]]')


def parse_party(text: str) -> Party:
    """`local@domain` or `Name <local@domain>`. Raises ValueError with a sentence for the caller."""
    plain = _PLAIN.match(text)
    if plain is not None:
        return Party(address=_address(plain[1], _ascii_domain(plain[2])))
    if len(text) > _MAX_TEXT:
        raise ValueError(f"at most {_MAX_TEXT} characters")
    if UNPRINTABLE.search(text):
        raise ValueError("holds a control character")
    named = _NAMED.match(text)
    if named is None:
        return Party(address=parse_address(text.strip()))
    return Party(address=parse_address(named[2].strip()), name=_name(named[1]))


def parse_address(text: str) -> str:
    """A bare address, its domain normalised. Raises ValueError."""
    local, at, domain = text.rpartition("@")
    if not at or not local or not domain:
        raise ValueError("is not an email address")
    if not (_LOCAL.match(local) or _QUOTED_LOCAL.match(local)):
        raise ValueError("the part before the @ is not valid")
    return _address(local, normalise_domain(domain))


def normalise_domain(domain: str) -> str:
    """Lower case, IDNA. Raises ValueError."""
    if domain.isascii():
        return _ascii_domain(domain)
    try:
        return _ascii_domain(idna.encode(domain, uts46=True, transitional=False).decode("ascii"))
    except idna.IDNAError:
        raise ValueError("the domain is not valid") from None


def domain_of(address: str) -> str:
    """What stands after the last @."""
    return address.rpartition("@")[2]


def _address(local: str, domain: str) -> str:
    address = f"{local}@{domain}"
    octets = len(local) if local.isascii() else len(local.encode())
    if octets > _MAX_LOCAL:
        raise ValueError(f"the part before the @ has more than {_MAX_LOCAL} octets")
    if octets + 1 + len(domain) > _MAX_ADDRESS:
        raise ValueError(f"the address has more than {_MAX_ADDRESS} octets")
    return address


def _ascii_domain(domain: str) -> str:
    lowered = domain.lower()
    if len(lowered) > _MAX_DOMAIN or not all(map(_LABEL.match, lowered.split("."))):
        raise ValueError("the domain is not valid")
    return lowered


def _name(text: str) -> str | None:
    quoted = _QUOTED_NAME.match(text)
    if quoted is not None:
        return _ESCAPED.sub(r"\1", quoted[1]) or None
    if _SPECIALS.search(text):
        raise ValueError("a name with special characters needs quotation marks")
    return text or None
