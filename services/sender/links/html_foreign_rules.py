"""Tracks whether the scanner is inside SVG or MathML, where `style` is no raw text and CDATA exists.

After WHATWG HTML 13.2.6.5 (*foreign content*), but without a stack of HTML elements, which shows in html that is
already broken, and only in how `style`, `script`, `title` and the like are read there:

- An integration point (`foreignObject`, `desc`, `title` of SVG, the text elements of MathML) ends at its own end
  tag or at that of its `svg` or `math`, also while an HTML element is still open in it.
- An `svg` left open ends at a start tag that ends foreign content, not at the end tag of an element around it.
- CDATA directly in an integration point is read as HTML reads it.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from services.sender.links.html_charref_rules import decode_attribute
from services.sender.links.html_tag_rules import Span, is_self_closing, values

_ROOTS = frozenset({"svg", "math"})
_INTEGRATION_POINTS = {
    "svg": frozenset({"foreignobject", "desc", "title"}),
    "math": frozenset({"mi", "mo", "mn", "ms", "mtext"}),
}
_ENCODING = frozenset({"encoding"})
_HTML_ENCODINGS = frozenset({"text/html", "application/xhtml+xml"})

# Start tags that end foreign content, as a paragraph after an `svg` that was never closed does.
_BREAKOUT = frozenset({
    "b", "big", "blockquote", "body", "br", "center", "code", "dd", "div", "dl", "dt", "em", "embed",
    "h1", "h2", "h3", "h4", "h5", "h6", "head", "hr", "i", "img", "li", "listing", "menu", "meta",
    "nobr", "ol", "p", "pre", "ruby", "s", "small", "span", "strong", "strike", "sub", "sup", "table",
    "tt", "u", "ul", "var",
})  # fmt: skip
_BREAKOUT_OF_FONT = frozenset({"color", "face", "size"})


class _Element(NamedTuple):
    """An open element. Alike ones are one object, because hostile html opens a million of them."""

    name: str
    space: str
    is_integration_point: bool


@dataclass(slots=True)
class ForeignContent:
    """The open elements of SVG and MathML, innermost last, counted by name: stray end tags cost nothing."""

    _stack: list[_Element] = field(default_factory=list)
    _names: Counter[str] = field(default_factory=Counter)
    _known: dict[tuple[str, str, bool], _Element] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return bool(self._stack)

    @property
    def is_current(self) -> bool:
        return bool(self._stack) and not self._stack[-1].is_integration_point

    @property
    def at_integration_point(self) -> bool:
        return bool(self._stack) and self._stack[-1].is_integration_point

    def start_tag(self, name: str, html: str, tag: Span) -> bool:
        """Follow a start tag, given where its attributes stand; true when the element it makes is HTML's."""
        stack = self._stack
        if stack and not stack[-1].is_integration_point:
            if name in _BREAKOUT or (name == "font" and values(html, tag, _BREAKOUT_OF_FONT)):
                self._break_out()
                return True
            parent = stack[-1]
            # 13.2.6: an svg in annotation-xml is SVG's, whatever that element's encoding.
            space = "svg" if name == "svg" and parent.name == "annotation-xml" else parent.space
        elif name in _ROOTS:
            space = name
        else:
            return True
        if not is_self_closing(html, tag):
            key = (name, space, _is_integration_point(name, space, html, tag))
            element = self._known.get(key)
            if element is None:
                element = self._known[key] = _Element(*key)
            stack.append(element)
            self._names[name] += 1
        return False

    def end_tag(self, name: str) -> None:
        if self.is_current and name in {"br", "p"}:
            self._break_out()
        elif self._names[name] and (self.is_current or name == self._stack[-1].name or name in _ROOTS):
            while self._pop() != name:
                pass

    def _break_out(self) -> None:
        while self.is_current:
            self._pop()

    def _pop(self) -> str:
        name = self._stack.pop().name
        self._names[name] -= 1
        return name


def _is_integration_point(name: str, space: str, html: str, tag: Span) -> bool:
    if name == "annotation-xml" and space == "math":
        encoding = values(html, tag, _ENCODING).get("encoding", (0, 0))
        return decode_attribute(html[slice(*encoding)]).lower() in _HTML_ENCODINGS
    return name in _INTEGRATION_POINTS[space]
