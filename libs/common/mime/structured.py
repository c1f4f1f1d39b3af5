"""Header fields that have a grammar of their own, and stay readable for the programs that parse them.

RFC 2047 section 5 allows encoded words in unstructured fields, in comments and in display names, and nowhere else: a
`List-Unsubscribe` that was encoded as a whole is one that no mailbox provider finds its URL in. So there are three
kinds of field: address lists, whose names alone are encoded; fields of ids, URLs and tokens, which are never encoded;
and everything else, which is text.
"""

import re
from collections.abc import Iterator, Mapping
from enum import Enum

from libs.common.mime.addresses import Mailbox, parse_address
from libs.common.mime.fold import LONGEST_LINE, address_field, folded, text_field


class Kind(Enum):
    """How a field's value is read."""

    ADDRESSES = "addresses, separated by commas"
    TOKENS = "ids, URLs and other words in ASCII"
    TEXT = "any text"


_ADDRESSES = (
    *(
        "reply-to",
        "resent-from",
        "resent-sender",
        "resent-to",
        "resent-cc",
        "resent-bcc",
        "resent-reply-to",
    ),  # RFC 5322
    "disposition-notification-to",  # RFC 8098 section 2.1
    *("return-receipt-to", "errors-to", "x-confirm-reading-to"),  # of Sendmail and Pegasus Mail, still in use
    *("mail-followup-to", "mail-reply-to"),  # cr.yp.to/proto/replyto.html
)
_TOKENS = (
    *("references", "in-reply-to", "resent-message-id", "resent-date"),  # RFC 5322 sections 3.6.4 and 3.6.6
    *("list-help", "list-unsubscribe", "list-subscribe", "list-post", "list-owner", "list-archive"),  # RFC 2369
    "list-unsubscribe-post",  # RFC 8058 section 2
    "list-id",  # RFC 2919 section 3
    "archived-at",  # RFC 5064 section 2
    *("obsoletes", "original-message-id"),  # RFC 2156 section 5.3, RFC 3885 section 3.1
    *("cfbl-address", "cfbl-feedback-id"),  # RFC 9477 section 3
    "authentication-results",  # RFC 8601 section 2.2
    *("autocrypt", "thread-index"),  # autocrypt.org/level1.html, Microsoft's [MS-OXOMSG] section 2.2.1.3
    "auto-submitted",  # RFC 3834 section 5
    *("precedence", "importance", "priority", "sensitivity", "expires", "supersedes"),  # RFC 2076, RFC 4021
    *("x-priority", "x-msmail-priority", "x-auto-response-suppress"),  # of Microsoft's
    "disposition-notification-options",  # RFC 8098 section 2.2
    "feedback-id",  # of Gmail's: support.google.com/mail/answer/6254652
    "bimi-selector",  # draft-brand-indicators-for-message-identification section 4.6
)
KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(_ADDRESSES, Kind.ADDRESSES),
    **dict.fromkeys(_TOKENS, Kind.TOKENS),
}
"""By name in lower case; what is not here is text."""

_BETWEEN_ELEMENTS = re.compile(r"(?<=>,)(?=<)|(?<=>)(?=<)")
_MARK = re.compile(r'\\.|[",<>]', re.DOTALL)
# As many as `reply_to` and the like take, each as long as there: reading an address costs time.
_MOST_ADDRESSES, _LONGEST_ADDRESS = 50, 1_000


def kind_of(name: str) -> Kind:
    """The kind of the field of that name, in any case."""
    return KINDS.get(name.lower(), Kind.TEXT)


def check_field(name: str, value: str) -> None:
    """Raises ValueError, with a sentence for the person who wrote it, when the value is none of the field's kind."""
    kind = kind_of(name)
    if kind is Kind.ADDRESSES:
        parse_addresses(value)
    elif kind is Kind.TOKENS:
        _tokens(name, value)


def field(name: str, value: str) -> str:
    """The field as it goes over the wire, its CRLF included.

    A value that `check_field` would refuse, in an email that was accepted before there was one, is written as text.
    """
    kind = kind_of(name)
    try:
        if kind is Kind.ADDRESSES:
            return address_field(name, parse_addresses(value))
        if kind is Kind.TOKENS:
            return folded(name, _tokens(name, value))
    except ValueError:
        pass
    return text_field(name, value)


def parse_addresses(value: str) -> list[Mailbox]:
    """A list of addresses, separated by commas (RFC 5322 section 3.4); groups are not accepted.

    Raises ValueError, also for more than 50 addresses or one of more than 1,000 characters.
    """
    parts = [part for part in _split(value) if part.strip(" \t")]
    if not parts:
        raise ValueError("holds no address")
    if len(parts) > _MOST_ADDRESSES:
        raise ValueError(f"holds {len(parts)} addresses, at most {_MOST_ADDRESSES} are taken")
    if any(len(part) > _LONGEST_ADDRESS for part in parts):
        raise ValueError(f"holds an address of more than {_LONGEST_ADDRESS:,} characters, its name included")
    return [parse_address(part) for part in parts]


def mailboxes_in(headers: Mapping[str, str]) -> Iterator[Mailbox]:
    """Every address that the given fields name."""
    for name, value in headers.items():
        if kind_of(name) is Kind.ADDRESSES:
            try:
                yield from parse_addresses(value)
            except ValueError:
                continue


def _split(value: str) -> list[str]:
    """At the commas that stand neither in a quoted string nor between angle brackets; each character is read once."""
    parts, start, inside = [], 0, ""
    for found in _MARK.finditer(value):
        if inside == '"':
            inside = "" if found[0] == '"' else inside  # a backslash takes the next character with it
            continue
        mark = found[0][-1]
        if inside == "<":
            inside = "" if mark == ">" else inside
        elif mark in '"<':
            inside = mark
        elif mark == ",":
            parts.append(value[start : found.end() - 1])
            start = found.end()
    return [*parts, value[start:]]


def _tokens(name: str, value: str) -> list[str]:
    if not value.isascii():
        strange = next(character for character in value if not character.isascii())
        raise ValueError(
            f"holds {strange!r}: {name} takes ASCII only, encode a URL's path in percent and its host in xn--"
        )
    words = value.split()
    long = [word for word in words if len(word) + 1 > LONGEST_LINE - len(name) - 1]
    if long:
        words = [part for word in words for part in _BETWEEN_ELEMENTS.split(word)]
        if any(len(word) + 1 > LONGEST_LINE - len(name) - 1 for word in words):
            raise ValueError(
                f"holds {len(max(words, key=len))} characters without a space, a line of a message has 998"
            )
    return [f" {word}" for word in words]
