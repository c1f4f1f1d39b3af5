"""Makes an html body tell us of clicks and opens, and changes nothing else in it by a single byte.

What is rewritten at all is described in the API's documentation (*Tracking*). Beyond that, decided here:

- An `<a>` of SVG is a link like any other; its `xlink:href` is another attribute and stays.
- Absolute means a scheme, two slashes (a browser takes backslashes for slashes) and a host: what a browser
  would follow from any page. `http:page` depends on the page and stays.
- Where the text ends inside a comment, tag or raw text element, its end is where that begins: a pixel after
  it would not be read as an element.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from services.sender.links.html_charref_rules import decode_attribute
from services.sender.links.html_scan_rules import scan
from services.sender.links.html_tag_rules import Span, values

VERSION: Final = 1  # stands in each email's fact; raised with every change of what comes out
MAX_LINKS: Final = 10_000
MAX_LINK_BYTES: Final = 768 * 1024  # of UTF-8: the fact that lists the links must fit one message

_ABSOLUTE = re.compile(r"https?:[/\\]{2,}[^/\\?#]", re.ASCII | re.IGNORECASE)
_STRIPPED = "".join(map(chr, range(0x21)))  # C0 controls and space: WHATWG URL 4.4, "leading or trailing"
_WANTED = frozenset({"href", "data-track"})
_PLAIN = re.compile(r"[^\t\n\r]*+\Z")
_IGNORED_IN_URLS = {ord(character): None for character in "\t\n\r"}  # WHATWG URL 4.4
_ESCAPES = {ord(character): f"&#{ord(character)};" for character in "&\"'<>`= \t\n\f\r"}


class TooManyLinks(ValueError):
    """The html has more links, or longer ones, than one email's fact may list."""


@dataclass(frozen=True, slots=True)
class Rewritten:
    """`links[n]` is the decoded URL that click route n leads to; `pixel` says whether one was put in."""

    html: str
    links: tuple[str, ...]
    pixel: bool


def rewrite(html: str, *, email_id: UUID | str, base_url: str, clicks: bool, opens: bool) -> Rewritten:
    """Put tracked links and a pixel into an html body, as asked.

    Raises TooManyLinks beyond 10,000 links or 768 KB of URLs, ValueError when `email_id` is no UUID.
    """
    if not clicks and not opens:
        return Rewritten(html, (), pixel=False)
    canonical_id = email_id if isinstance(email_id, UUID) else UUID(email_id)
    prefix = f"{base_url.rstrip('/')}/api/emails/{canonical_id}/track".translate(_ESCAPES)
    found = scan(html)
    edits, links = _clicks(html, found.anchors, prefix) if clicks else ([], [])
    if opens:
        at = found.end if found.body_end is None else found.body_end
        edits.append((at, at, _pixel(prefix)))
        edits.sort()
    return Rewritten(_edited(html, edits), tuple(links), pixel=opens)


_Edit = tuple[int, int, str]  # from, to, what stands there instead


def _clicks(html: str, anchors: Iterable[Span], prefix: str) -> tuple[list[_Edit], list[str]]:
    edits: list[_Edit] = []
    links: list[str] = []
    link_bytes = 0
    for anchor in anchors:
        href = _tracked_href(html, anchor)
        if href is None or (url := _absolute_url(html[slice(*href)])) is None:
            continue
        link_bytes += len(url.encode("utf-8", "surrogatepass"))
        if len(links) == MAX_LINKS or link_bytes > MAX_LINK_BYTES:
            limits = f"{MAX_LINKS:,} tracked links and {MAX_LINK_BYTES // 1024} KB of link URLs"
            raise TooManyLinks(f"at most {limits} in one email")
        edits.append((*href, f"{prefix}/click/{len(links)}"))
        links.append(url)
    return edits, links


def _tracked_href(html: str, anchor: Span) -> Span | None:
    """The href that a parser would keep, unless the link opted out."""
    found = values(html, anchor, _WANTED)
    opt_out = found.get("data-track")
    if opt_out and decode_attribute(html[slice(*opt_out)]).lower() == "false":
        return None
    return found.get("href")


def _absolute_url(value: str) -> str | None:
    url = decode_attribute(value).strip(_STRIPPED)
    plain = url if _PLAIN.match(url) else url.translate(_IGNORED_IN_URLS)
    return url if _ABSOLUTE.match(plain) else None


def _pixel(prefix: str) -> str:
    # Not display:none: some clients do not load what they do not lay out.
    style = "display:block;width:1px;height:1px;border:0;opacity:0"
    return f'<img src="{prefix}/open" width="1" height="1" alt="" style="{style}">'


def _edited(html: str, edits: Iterable[_Edit]) -> str:
    pieces: list[str] = []
    kept = 0
    for start, end, replacement in edits:
        pieces += html[kept:start], replacement
        kept = end
    pieces.append(html[kept:])
    return "".join(pieces)
