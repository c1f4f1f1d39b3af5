"""The scanner is held to Lexbor, a browser's parser: what one finds the other finds, on html written by nobody."""

import time
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from services.sender.links.html_charref_rules import decode_attribute
from services.sender.links.html_scan_rules import scan
from services.sender.links.html_tag_rules import values

HREF = frozenset({"href"})


def scanned_hrefs(html: str) -> set[str]:
    spans = (values(html, anchor, HREF).get("href") for anchor in scan(html).anchors)
    return {decode_attribute(html[slice(*span)]) for span in spans if span}


def parsed_hrefs(html: str) -> set[str]:
    """A set, because a parser repeats an `<a>` left open in every block that follows it."""
    return {node.attributes["href"] or "" for node in LexborHTMLParser(html).css("a[href]")}


# Each is complete by itself or breaks what follows; `%d` makes each link another one.
FRAGMENTS = [
    "text ", "<", ">", "&amp;", "'", '"', "</", "</>", "<>", "< a href=http://no/%d>", "\n", "\r\n",
    '<a href="http://h/%d">', "<a href='http://h/%d'>", "<a href=http://h/%d>", "<A HREF=http://h/%d/>",
    "</a>", "</A\n>", '<a\thref\n=\f"http://h/%d">', "<a/href=http://h/%d>",
    '<a title=">" href="http://h/%d">', "<a title='\"'href=http://h/%d>",
    '<a href="http://h/%d"href="http://no/%d">', "<a =href=http://no/%d href=http://h/%d>",
    "<a href = http://h/%d >", '<a href / = "http://h/%d">', "<a href=>", "<a href>", '<a href="">', "<a >",
    "<ab href=http://no/%d>", "<a:b href=http://no/%d>", '<a href="http://h/%d', "<a href='http://h/%d",
    '<a href=http://h/%d"x>', "<a <a href=http://h/%d>", '<a "href=http://no/%d>',
    '<a href="http://h/?a=1&amp;b=%d&copy=2&lt;&#x41;&#65&notit;">', "<link href=http://no/%d>",
    "<area href=http://no/%d>", "<p>", "</p>", "<div class='x'>", "</div>",
    '<b title="<a href=http://no/%d>">', "</b>", "<i>", "</i>", "<br/>", "<img src='>'>", "<table>", "<tr>",
    "<td>", "</td>", "</tr>", "</table>", "<ul>", "<li>", "</ul>", "<h1>", "</h1>", "<noscript>",
    "</noscript>", "<!-- <a href=http://no/%d> -->", "<!-->", "<!--->", "<!---->", "<!--->x-->", "<!--x--!>",
    "<!--x--!-->", "<!--<!-->", "<!--", "-->", "--!>", "<!-", "<!->", "<!x <a href=http://no/%d>",
    "<?php <a href=http://no/%d>", "</ <a href=http://no/%d>", "<!>",
    "<!--[if mso]><a href=http://no/%d><![endif]-->", "<![if !mso]>", "<![endif]>",
    '<!DOCTYPE html PUBLIC "a>', "<!doctype html>", "<![CDATA[<a href=http://h/%d>]]>", "]]>",
    "<style>a > b { } <a href=http://no/%d></style>", "<STYLE></sTyle >", "</style/>", "<style>", "</style>",
    "</stylex>", "<style/>", "<title><a href=http://no/%d></title x='>'>",
    "<textarea><a href=http://no/%d></textarea\n>", "<xmp></xmp", "<xmp><!--</xmp>-->",
    "<iframe><a href=http://no/%d></iframe>", "<noembed><a href=http://no/%d></noembed>",
    "<noframes><a></noframes>", "<script>", "</script>", "</SCRIPT\f>", "<script><!--", "<!--<script>",
    "<script ", "<scriptx>", "</scriptx>", "<script/>", "<script>'<a href=http://no/%d>'</script>",
    "<script><!--<script></script><a href=http://no/%d>--></script>", "<script><!--><script></script>",
    "<script><!-- --></script>", "<script><!--<script>-->", "<svg/>", "</svg>", "<g>", "</g>",
    "<path d='>'/>", "</math>", "<mrow>", "</mrow>", "<svg><a href=http://h/%d></a></svg>",
    "<svg><style><a href=http://h/%d></a></style></svg>", "<svg><![CDATA[<a href=http://no/%d>]]></svg>",
    "<svg><script/><a href=http://h/%d></a></svg>", "<svg><font><a href=http://h/%d></a></font></svg>",
    "<font color=red>", "<svg><title><a href=http://h/%d></a></title><style></svg>",
    "<svg><foreignObject><style><a href=http://no/%d></style></foreignObject></svg>",
    "<svg><desc></desc><![CDATA[>]]><title/></svg>",
    "<math><mi><style><a href=http://no/%d></style></mi></math>",
    "<math><annotation-xml encoding='text/HTML'><title><a href=http://no/%d></a></title></annotation-xml></math>",
    "<math><annotation-xml><svg><style><a href=http://h/%d></a></style></svg></annotation-xml></math>",
    "<math><title><a href=http://h/%d></a></title></math>", "<html>", "<head>", "</head>", "<body>",
    "</body>", "</html>",
]  # fmt: skip


# What is left open here stays open; so among it is nothing in which the scanner simplifies (html_foreign).
FOREIGN = [
    "<svg>", "<svg/>", "<svg a=b/>", "<svg a='b'/ >", "</svg>", "<math>", "</math>", "<svg><g>", "<svg><g/>",
    "</g>", "<math><mrow>", "</mrow>", "<p>", "</p>", "</br>", "<div>", "<font>", "<font FACE=x>", "<span>",
    "<img>", "<style>", "</style>", "<style/>", "<textarea>", "</textarea>", "<script>", "</script>",
    "<![CDATA[", "<![CDATA[>", "]]>", "<!-- > -->", "<a href=http://h/%d>", "<a href=http://h/%d />",
    '<path title="<a href=http://no/%d>">', "text", "</body>",
]  # fmt: skip


def numbered(fragments: list[str]) -> str:
    html = ""
    for number, fragment in enumerate(fragments):
        html += fragment.replace("%d", str(number))
    return html


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map(numbered))
def test_it_finds_the_links_that_a_browser_finds(html: str) -> None:
    assert scanned_hrefs(html) == parsed_hrefs(html)


@given(st.lists(st.sampled_from(FOREIGN), max_size=12).map(numbered))
def test_it_reads_svg_and_mathml_as_a_browser_does(html: str) -> None:
    assert scanned_hrefs(html) == parsed_hrefs(html)


PIECES = [
    "<", "<", ">", ">", "/", "!", "-", "--", '"', "'", "=", " ", "\n", "a", "<a ", "href", "=http://h/%d",
    "&amp;", "&#", ";", "x", "script", "<script>", "</script>", "style", "<style", "</style", "textarea",
    "<!--", "-->", "<![CDATA[", "]]>", "?", "p", "\0",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30).map(numbered))
@example("<a href='http://h'")
@example("<a =http://h/1>")
def test_it_reads_soup_as_a_browser_does(html: str) -> None:
    assert scanned_hrefs(html) == parsed_hrefs(html)


@pytest.mark.parametrize(
    ("html", "end"),
    [
        ("<p>x", 4),
        ("<p>x<!-- y", 4),
        ("<p>x<a href='", 4),
        ("<p>x<style>y", 4),
        ("<p>x<script><!--<script></script>", 4),
        ("<p>x<plaintext></plaintext>", 4),
        ("<p>x</", 4),
        ("<p>x<", 5),
        ("<svg><![CDATA[x", 5),
        ("<svg><style>x", 13),
    ],
)
def test_markup_ends_where_something_begins_that_nothing_closes(html: str, end: int) -> None:
    assert scan(html).end == end


@pytest.mark.parametrize(
    ("html", "body_end"),
    [
        ("<p>x</p>", None),
        ("x</body></html>", 1),
        ("x</BODY\n></html>", 1),
        ("x</body>y</body>z", 9),
        ("x</body><!-- </body> -->", 1),
        ("x</body><script>'</body>'</script>", 1),
        ('x</body><i title="</body>">', 1),
        ("x</bodyx>", None),
        ("<svg></body>", 5),
        ("<svg><title></body></title></svg>", None),
        ("x<body>", None),
    ],
)
def test_the_body_ends_at_the_last_real_end_tag(html: str, body_end: int | None) -> None:
    assert scan(html).body_end == body_end


HOSTILE: dict[str, Callable[[int], str]] = {
    "tags never closed": lambda n: "<a" * n,
    "tags that begin in tags": lambda n: "<a <" * n,
    "an attribute never ends": lambda n: "<a " + "x" * n,
    "spaces without end": lambda n: "<a " + " " * n,
    "spaces before no equals sign": lambda n: "<a x" + " " * n + "y>",
    "many attributes": lambda n: "<a " + "x=1 " * n + ">",
    "equals signs": lambda n: "<a " + "=" * n,
    "quotes": lambda n: "<a b='" + "'\"" * n,
    "a quote never closed": lambda n: "<a href='" + '<a href="x">' * n,
    "comments never closed": lambda n: "<!--" * n,
    "short comments": lambda n: "<!-->" * n,
    "dashes": lambda n: "<!--" + "-" * n,
    "bogus comments": lambda n: "<!" * n,
    "end tags never closed": lambda n: "</a" * n,
    "text that looks like tags": lambda n: "<<" * n,
    "scripts in comments in scripts": lambda n: "<script>" + "<!--<script>" * n,
    "scripts escaped": lambda n: "<script>" + "<!---->" * n,
    "styles that end": lambda n: "<style></style>" * n,
    "style end tags that are none": lambda n: "<style>" + "</styl" * n,
    "svg in svg": lambda n: "<svg>" * n,
    "stray end tags in svg": lambda n: "<svg>" + "<g>" * n + "</x>" * n,
    "svg titles, then end tags": lambda n: "<svg><title>" * n + "</g>" * n,
    "svg broken out of": lambda n: "<svg><p>" * n,
    "CDATA never closed": lambda n: "<svg>" + "<![CDATA[" * n,
    "CDATA in CDATA's end": lambda n: "<svg>" + "<![CDATA[]]" * n,
    "body end tags": lambda n: "</body>" * n,
    "references": lambda n: "<a href='" + "&am" * n + "'>",
    "digits": lambda n: "<a href='&#" + "9" * n + "'>",
    "zeros": lambda n: "<a href='&#" + "0" * n + "'>",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE.keys())
def test_cost_is_linear_whatever_the_html(hostile: Callable[[int], str]) -> None:
    def seconds(n: int) -> float:
        html = hostile(n)
        best = float("inf")
        for _ in range(3):
            started = time.process_time()
            scanned_hrefs(html)
            best = min(best, time.process_time() - started)
        return best

    # Sixteen times the html is 16 times the work if linear, 256 times if quadratic.
    assert seconds(32_000) < 64 * max(seconds(2_000), 0.0005)
