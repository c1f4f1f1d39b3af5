"""Header fields as bytes may travel: encoded words for what is not ASCII (RFC 2047), folded lines (RFC 5322 2.2.3).

Lines are at most 76 characters, which suits both RFC 2047 (2) and the 78 of RFC 5322, unless one word alone is
longer; never more than 998. A field is not folded right behind its colon, which some readers take for an empty field,
unless its name leaves too little room.
"""

import re
from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Sequence

from libs.common.mime.addresses import Mailbox

_LINE = 76
LONGEST_LINE = 998  # RFC 5322 2.1.1
_WORD = 75  # RFC 2047 2
_WORD_IN_NAMES = 60  # fits behind the longest address field's name, on the first line as on any other
_FRAME = len("=?utf-8?q??=")
_LONGEST_CHARACTER = 12  # "=F0=9F=98=80"
_LONG_NAME = _LINE - _FRAME - _LONGEST_CHARACTER - 2
_LONG_QUOTED = 60

_PLAIN = re.compile(r"(?:[\t -<>-~]|=(?!\?))*")  # ASCII that nobody would take for an encoded word
_TOKEN = re.compile(r"[ \t]*[^ \t]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_SPECIAL = re.compile(r'(["\\])')

# What a "Q" word may hold unencoded wherever it stands, display names included (RFC 2047 5 (3)).
_Q_SAFE = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
_Q = [chr(octet) if octet in _Q_SAFE else "_" if octet == 0x20 else f"={octet:02X}" for octet in range(256)]
_Q_ONE = _Q_SAFE + b" "  # octets that take one character


def text_field(name: str, value: str) -> str:
    """An unstructured field, its CRLF included; white space around the value means nothing and goes."""
    value = value.strip(" \t")
    if not _PLAIN.fullmatch(value):
        return _encoded_field(name, value)
    if len(name) + 2 + len(value) <= _LINE:
        return f"{name}: {value}\r\n"
    tokens = _TOKEN.findall(f" {value}")
    if len(name) + 1 + len(tokens[0]) > LONGEST_LINE or max(map(len, tokens)) > LONGEST_LINE:
        return _encoded_field(name, value)
    return _lines(f"{name}:", tokens)


def folded(name: str, tokens: Sequence[str]) -> str:
    """A field of tokens in ASCII, each with the white space before it; broken between them and nowhere else."""
    return _lines(f"{name}:", tokens)


def address_field(name: str, mailboxes: Sequence[Mailbox]) -> str:
    """An address list (RFC 5322 3.4), folded between its addresses and between the words of a name."""
    tokens: list[str] = []
    for index, mailbox in enumerate(mailboxes):
        comma = "," if index + 1 < len(mailboxes) else ""
        if mailbox.name:
            tokens += _name_tokens(mailbox.name)
            tokens.append(f" <{mailbox.address}>{comma}")
        else:
            tokens.append(f" {mailbox.address}{comma}")
    return _lines(f"{name}:", tokens)


def _name_tokens(name: str) -> Iterable[str]:
    if _PLAIN.fullmatch(name) and "\t" not in name:
        if _ATOMS.fullmatch(name):
            return [f" {word}" for word in name.split(" ")]
        if len(name) <= _LONG_QUOTED:
            return ['"{}"'.format(_SPECIAL.sub(r"\\\1", name)).join((" ", ""))]
    return _encoded_words(name, _WORD_IN_NAMES, _WORD_IN_NAMES)


def _encoded_field(name: str, value: str) -> str:
    if len(name) > _LONG_NAME:
        return f"{name}:\r\n" + _lines("", _encoded_words(value, _WORD, _WORD))
    return _lines(f"{name}:", _encoded_words(value, _LINE - len(name) - 2, _WORD))


def _lines(line: str, tokens: Iterable[str]) -> str:
    """Each token brings the white space before it; a line is broken before that, so none is white space alone."""
    lines: list[str] = []
    unbroken = True
    for token in tokens:
        if unbroken or len(line) + len(token) <= _LINE:
            line += token
        else:
            lines.append(line)
            line = token
        unbroken = False
    return "\r\n".join((*lines, line, ""))


def _encoded_words(text: str, first: int, others: int) -> Iterator[str]:
    """The text as encoded words of at most `first`, then `others` characters, in whichever encoding is shorter.

    Spaces between two encoded words are not shown (RFC 2047 6.2), so all of the text is in them.
    """
    octets = text.encode()
    use_q = len(octets) + 2 * len(octets.translate(None, _Q_ONE)) <= (len(octets) + 2) // 3 * 4
    encode, measure = (_q_word, _q_size) if use_q else (_b_word, _b_size)
    start = size = 0
    room = first - _FRAME
    for index, character in enumerate(text):  # whole characters only, as RFC 2047 5 demands
        step = measure(character)
        if (size + step if use_q else (size + step + 2) // 3 * 4) > room:
            yield encode(text[start:index])
            start, size, room = index, 0, others - _FRAME
        size += step
    if start < len(text):
        yield encode(text[start:])


def _q_size(character: str) -> int:
    return sum(len(_Q[octet]) for octet in character.encode())


def _b_size(character: str) -> int:
    return len(character.encode())


def _q_word(text: str) -> str:
    return f" =?utf-8?q?{''.join([_Q[octet] for octet in text.encode()])}?="


def _b_word(text: str) -> str:
    return f" =?utf-8?b?{b2a_base64(text.encode(), newline=False).decode('ascii')}?="
