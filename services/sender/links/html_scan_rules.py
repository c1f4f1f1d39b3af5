"""Where a browser would find the links of an html text and the end of its body, without building a tree.

The states of the HTML tokenizer (WHATWG HTML 13.2.5) as regular expressions, each of which reads a
character once: whatever is left open runs to the end of the text and ends the scan, so the cost is linear
in its length. Of tree construction (13.2.6) only what decides how the text is read on is followed: raw text
elements, and whether an element is HTML's or foreign (`html_foreign`). Not followed: frame sets, and the
elements that older browsers drop inside `select`.
"""

import re
from dataclasses import dataclass

from services.sender.links.html_foreign_rules import ForeignContent
from services.sender.links.html_tag_rules import SPACE, Span, markup

_COMMENT_END = re.compile(r"--!?>")
_SCRIPT_MARK = re.compile(rf"-->|<!--|<(/?)(?i:script)(?=[{SPACE}/>])", re.ASCII)
_RAW_TEXT_END = {
    name: re.compile(rf"</(?i:{name})(?=[{SPACE}/>])", re.ASCII)
    for name in ("iframe", "noembed", "noframes", "style", "textarea", "title", "xmp")
}
_RAW_TEXT = frozenset(_RAW_TEXT_END) | {"script", "plaintext"}
_LOOKED_AT = _RAW_TEXT | {"a", "body", "math", "svg"}
_OPEN = -1  # nothing ends it before the text does


@dataclass(frozen=True, slots=True)
class Scan:
    """The result of a scan: offsets into the text.

    `anchors` are the attribute parts of the `<a>` start tags, in order. `body_end` is the last `</body>`
    that a parser takes for one. `end` is the last place where markup is still read as markup: the length of
    the text, or where the comment, tag or raw text element begins that is never closed.
    """

    anchors: tuple[Span, ...]
    body_end: int | None
    end: int


def scan(html: str) -> Scan:
    anchors: list[Span] = []
    body_end: int | None = None
    foreign = ForeignContent()
    position = 0
    while position != _OPEN:
        for found in markup(html, position):
            name = found[2]
            if name is None:
                position = _after_markup(html, found.start(), cdata=foreign.is_current)
            elif (name := name.lower()) not in _LOOKED_AT and not foreign.is_open:
                continue
            elif found[1]:
                if name == "body" and not foreign.at_integration_point:
                    body_end = found.start()
                foreign.end_tag(name)
                continue
            else:
                if name == "a":
                    anchors.append(found.span(3))
                is_html = foreign.start_tag(name, html, found.span(3))
                if name not in _RAW_TEXT or not is_html:
                    continue
                position = _raw_text_end(html, name, found.end())
            if position != found.end():
                break  # the search goes on where comment or raw text ends
        else:
            return Scan(tuple(anchors), body_end, len(html))
    return Scan(tuple(anchors), body_end, found.start())


def _after_markup(html: str, start: int, *, cdata: bool) -> int:
    """Where reading goes on after a `<` that begins no complete tag (13.2.5.6, 13.2.5.42)."""
    following = html[start + 1 : start + 9]
    if following.startswith("!--"):
        if html.startswith((">", "->"), start + 4):  # closed abruptly (13.2.5.43, 13.2.5.44)
            return html.index(">", start) + 1
        closed = _COMMENT_END.search(html, start + 4)
        return closed.end() if closed else _OPEN
    if cdata and following == "![CDATA[":
        end = html.find("]]>", start + 9)
        return end + 3 if end >= 0 else _OPEN
    letter = following[1:2] if following[:1] == "/" else following[:1]
    if following[:1] in {"!", "?"} or (following[:1] == "/" and not _is_letter(letter)):
        # DOCTYPE and bogus comments end at the first ">", quoted or not.
        return html.find(">", start) + 1 or _OPEN
    return _OPEN if _is_letter(letter) else start + 1  # the text ends inside a tag, or the "<" is text


def _raw_text_end(html: str, name: str, position: int) -> int:
    """Where the end tag of a raw text element begins: nothing before it is markup (13.2.5.2 to 13.2.5.31)."""
    if name == "plaintext":
        return _OPEN
    if name == "script":
        return _script_end(html, position)
    closed = _RAW_TEXT_END[name].search(html, position)
    return closed.start() if closed else _OPEN


def _script_end(html: str, position: int) -> int:
    """Not the first `</script>` when a `<!--` and a `<script` stand before it (13.2.5.15 to 13.2.5.31)."""
    escaped = doubly = False
    while mark := _SCRIPT_MARK.search(html, position):
        position = mark.end()
        if mark[0] == "<!--":
            escaped = True
            position = mark.start() + 2  # its dashes may be those of a "-->"
        elif mark[0] == "-->":
            escaped = doubly = False
        elif mark[1] and not doubly:
            return mark.start()
        elif escaped:
            doubly = not mark[1]
    return _OPEN


def _is_letter(character: str) -> bool:
    return character.isascii() and character.isalpha()
