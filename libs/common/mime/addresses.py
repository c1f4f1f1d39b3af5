"""Reads an address as a person or a program writes it, and refuses what no relay would take or would misread.

`Name <local@domain>` or `local@domain`, one mailbox (RFC 5322 3.4), without comments, groups, routes, white space
inside the address or address literals. Local parts may be UTF-8 (RFC 6531); domains become IDNA A-labels (UTS 46) in
lower case.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import idna

from libs.common.mime.headers import check_header_value
from libs.common.mime.invisible import check_visible

_DOMAIN_OCTETS = 255  # RFC 5321 4.5.3.1.2
# RFC 5321 4.5.3.1.3, its angle brackets included. The 64 octets of 4.5.3.1.1 are what every server has to take for a
# local part; reply addresses with a token in them are longer, and their servers take them.
_PATH_OCTETS = 256
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]"  # RFC 5322 3.2.3, RFC 6532 3.2
_DOT_ATOM = re.compile(rf"{_ATEXT}++(?:\.{_ATEXT}++)*")
_QUOTED = r'"(?:[^"\\\x00-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"'
_QUOTED_LOCAL = re.compile(_QUOTED)
# What is quoted, to its end or to the text's: possessive, so that many open quotes are read once, not once each.
_QUOTES = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_WORD = re.compile(rf"[ \t]*(?:({_QUOTED})|((?:{_ATEXT}|\.)+))[ \t]*")  # a dot is obs-phrase: J. R. Hartley
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_SEVERAL = re.compile(r"[^,;@]*@[^,;]*[,;][^@]*@.*")
# In some scripts a domain is written with these between its letters (RFC 5892 appendix A); `idna` checks where.
_JOINERS = "\u200c\u200d"
_NUMBER = re.compile(r"(?:.*\.)?[0-9]+")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """`address` is what the envelope needs: local part as written, domain in ASCII and lower case."""

    address: str
    name: str | None = None


def parse_address(text: str) -> Mailbox:
    """Raises ValueError with a sentence for the person who wrote it."""
    check_header_value(text)
    text = text.strip(" \t")
    if not text:
        raise ValueError("the address is empty")
    check_visible(text, ends_only=True)
    if ("," in text or ";" in text) and _SEVERAL.fullmatch(_QUOTES.sub("", text)):
        raise ValueError("holds more than one address: give a list, with one address in each string")
    if not text.endswith(">"):
        if "<" in _QUOTES.sub("", text):
            raise ValueError("text stands after the address, or its '>' is missing")
        return Mailbox(_address(text))
    # The last "<" outside quotes; a quoted local part may hold one of its own.
    start = _angle(text)
    return Mailbox(_address(text[start + 1 : -1].strip(" \t")), _phrase(text[:start]) or None)


def normal_domain(domain: str) -> str:
    """A domain in lower-case ASCII, as it is registered, compared and put on the wire (RFC 5891, UTS 46).

    Raises ValueError.
    """
    if not domain:
        raise ValueError("the domain is missing")
    if domain.startswith("["):
        raise ValueError("address literals are not accepted, name a domain")
    if len(domain) > _DOMAIN_OCTETS:
        raise ValueError(f"the domain is longer than {_DOMAIN_OCTETS} characters")
    # UTS 46 drops some of these without a word: a domain copied from a web page would become another one.
    try:
        check_visible(domain, but=_JOINERS)
    except ValueError as error:
        raise ValueError(f"the domain {error}") from None
    normal = domain.lower() if domain.isascii() and "xn--" not in domain.lower() else _to_ascii(domain)
    if len(normal) > _DOMAIN_OCTETS:
        raise ValueError(f"the domain is longer than {_DOMAIN_OCTETS} characters")
    if ".." in normal or normal.startswith(".") or normal.endswith("."):
        raise ValueError("the domain has an empty label")
    if not _DOMAIN.fullmatch(normal):
        raise ValueError("the domain is not a valid host name")
    if _NUMBER.fullmatch(normal):  # RFC 3696 2: no top-level domain is all digits, so this is an ip address
        raise ValueError("the domain is a number, ip addresses are not accepted")
    return normal


def needs_smtputf8(addresses: Iterable[str]) -> bool:
    """True if a local part is not ASCII, so that the relay must offer SMTPUTF8 (RFC 6531 section 3.2)."""
    return not all(address.isascii() for address in addresses)


def _angle(text: str) -> int:
    """Where the `<` of a closing `>` stands, outside of quoted strings."""
    position = 0
    while position < len(text):
        if text[position] == "<":
            return position
        if text[position] == '"':
            quoted = _QUOTED_LOCAL.match(text, position)
            if not quoted:
                raise ValueError("a quotation mark in the name is not closed")
            position = quoted.end()
        else:
            position += 1
    raise ValueError("the address has a '>' without a '<'")


def _phrase(text: str) -> str:
    """A display name: words and quoted strings (RFC 5322 3.2.5), one space between them."""
    words: list[str] = []
    position = 0
    stripped = text.strip(" \t")
    while position < len(stripped):
        word = _WORD.match(stripped, position)
        if not word:
            # Taking a comma for part of a name would drop the address before it without a word.
            raise ValueError(f"the name holds {stripped[position]!r}: put the name in quotation marks")
        words.append(_ESCAPED.sub(r"\1", word[1][1:-1]) if word[1] else word[2])
        position = word.end()
    return " ".join(words)


def _address(text: str) -> str:
    check_visible(text, but=_JOINERS)
    local, at, domain = text.rpartition("@")
    if not at:
        raise ValueError("the address has no '@'")
    if not local:
        raise ValueError("nothing stands before the '@'")
    check_visible(local)
    address = f"{_local_part(local)}@{normal_domain(domain)}"
    if len(address.encode()) + 2 > _PATH_OCTETS:
        raise ValueError(f"the address is longer than {_PATH_OCTETS - 2} bytes")
    return address


def _local_part(local: str) -> str:
    if local.startswith('"'):
        if not _QUOTED_LOCAL.fullmatch(local):
            raise ValueError("the quoted part before the '@' is not a valid quoted string")
        content = _ESCAPED.sub(r"\1", local[1:-1])
        # Needless quotes and backslashes name the same mailbox (RFC 5321 4.1.2): one spelling for each.
        if _is_dot_atom(content):
            return content
        return '"' + content.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if not _is_dot_atom(local):
        raise ValueError("what stands before the '@' holds a character or a dot that does not belong there")
    return local


def _is_dot_atom(local: str) -> bool:
    return bool(_DOT_ATOM.fullmatch(local)) and local.isprintable()  # no-break spaces and the like are not


def _to_ascii(domain: str) -> str:
    try:
        return idna.encode(domain, uts46=True, transitional=False).decode("ascii").lower()
    except UnicodeError as error:  # idna.IDNAError is one
        raise ValueError(f"the domain is not valid: {error}") from error
