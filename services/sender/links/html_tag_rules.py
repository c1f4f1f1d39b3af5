"""The grammar of a tag and its attributes, as the HTML tokenizer reads them (WHATWG HTML 13.2.5).

Each expression reads a character once, whatever follows, so that hostile html costs no more than any other.
"""

import re
from collections.abc import Iterator

Span = tuple[int, int]

SPACE = r"\t\n\f\r "
_NAME = rf"[^{SPACE}/>][^{SPACE}/>=]*+"  # 13.2.5.32: a leading "=" belongs to the name
_UNQUOTED = rf"[^{SPACE}\"'>][^{SPACE}>]*+"  # 13.2.5.38: "/" belongs to the value

# Every "<" that is not text (13.2.5.6), and with it the tag that it begins if it begins a whole one (13.2.5.7,
# 13.2.5.8, 13.2.5.32 to 13.2.5.40). What `*+` has read is not tried again another way, so no quote left open is taken
# for the start of another attribute. A tag of more than 2,000 attributes is none that a person or a program wrote: what
# begins with it is left as it is, and no match keeps the interpreter's lock for long.
MARKUP = re.compile(
    rf"<(?:(/?)([A-Za-z][^{SPACE}/>]*+)((?:[{SPACE}/]++|{_NAME}"
    rf"(?:[{SPACE}]*+=[{SPACE}]*+(?:\"[^\"]*+(?:\"|\Z)|'[^']*+(?:'|\Z)|{_UNQUOTED}|(?=>|\Z)))?){{0,2000}}+)>|(?=[!/?A-Za-z]))"
)
_ATTRIBUTE = re.compile(rf"({_NAME})(?:[{SPACE}]*+=[{SPACE}]*+(?:\"([^\"]*+)\"|'([^']*+)'|({_UNQUOTED})|))?")


_WINDOW = 128 * 1024
"""Characters: so long a search keeps the interpreter's lock for about ten milliseconds at worst."""
_MAY_BEGIN = re.compile(r"<[!/?A-Za-z]")


def markup(html: str, position: int) -> Iterator[re.Match[str]]:
    """Every match of `MARKUP` from a position on, found so that other threads have their turn in between."""
    if len(html) <= _WINDOW:
        yield from MARKUP.finditer(html, position)
        return
    match, length = MARKUP.match, len(html)
    while position < length:
        found = match(html, position)
        if found is not None:
            yield found
            position = found.end()
            continue
        # The window reaches one character into the next one, where the second character of a "<a" may be.
        candidate = _MAY_BEGIN.search(html, position + 1, position + _WINDOW + 1)
        position = candidate.start() if candidate is not None else position + _WINDOW


def values(html: str, tag: Span, wanted: frozenset[str]) -> dict[str, Span]:
    """Where in a start tag the wanted attributes have their values, between the quotes if there are any.

    Where a name is repeated the first one counts (13.2.5.33); an attribute without a value has an empty span.
    """
    spans: dict[str, Span] = {}
    for attribute in _ATTRIBUTE.finditer(html, *tag):
        name = attribute[1].lower()
        if name in wanted and name not in spans:
            group = attribute.lastindex or 1
            spans[name] = attribute.span(group) if group > 1 else (attribute.end(), attribute.end())
    return spans


def is_self_closing(html: str, tag: Span) -> bool:
    """True if the tag ends with its own "/", not with one of an unquoted value (13.2.5.40)."""
    start, end = tag
    if start == end or html[end - 1] != "/":
        return False
    last = start
    for attribute in _ATTRIBUTE.finditer(html, start, end):
        last = attribute.end()
    return last < end
