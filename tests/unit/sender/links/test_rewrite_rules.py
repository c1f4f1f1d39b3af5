"""The rewriter: which links it takes, and that it touches nothing else by a byte."""

import time
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from services.sender.links.html_scan_rules import scan
from services.sender.links.html_tag_rules import values
from services.sender.links.rewrite_rules import VERSION, Rewritten, TooManyLinks, rewrite

EMAIL_ID = "01934f3e-0000-7000-8000-00000000002a"
TRACK = f"https://t.example/api/emails/{EMAIL_ID}/track"
PIXEL = (
    f'<img src="{TRACK}/open" width="1" height="1" alt=""'
    ' style="display:block;width:1px;height:1px;border:0;opacity:0">'
)


def tracked(html: str, *, clicks: bool = True, opens: bool = False) -> Rewritten:
    return rewrite(html, email_id=EMAIL_ID, base_url="https://t.example/", clicks=clicks, opens=opens)


@pytest.mark.parametrize(
    ("before", "after", "url"),
    [
        ('<a href="http://h/">', f'<a href="{TRACK}/click/0">', "http://h/"),
        ("<a href='http://h/'>", f"<a href='{TRACK}/click/0'>", "http://h/"),
        ("<a href=http://h/>", f"<a href={TRACK}/click/0>", "http://h/"),
        ("<A  HREF = HTTPS://H >x</A >", f"<A  HREF = {TRACK}/click/0 >x</A >", "HTTPS://H"),
        ('<a href="\n http://h/ \t">', f'<a href="{TRACK}/click/0">', "http://h/"),
        ('<a href="http://h/?a=1&amp;b=2&copy=3">', f'<a href="{TRACK}/click/0">', "http://h/?a=1&b=2&copy=3"),
        ('<a href="&#104;ttp&colon;//h/">', f'<a href="{TRACK}/click/0">', "http://h/"),
        ('<a href="ht\ntp://h/">', f'<a href="{TRACK}/click/0">', "ht\ntp://h/"),
        ('<a href="http:\\\\h\\x">', f'<a href="{TRACK}/click/0">', "http:\\\\h\\x"),
        ('<a href="http://bücher.example/ü">', f'<a href="{TRACK}/click/0">', "http://bücher.example/ü"),
        ('<a href="http://h/"href="http://i/">', f'<a href="{TRACK}/click/0"href="http://i/">', "http://h/"),
        ('<a data-track="true" href="http://h/">', f'<a data-track="true" href="{TRACK}/click/0">', "http://h/"),
        (
            '<a data-track="" data-track="false" href="http://h/">',
            f'<a data-track="" data-track="false" href="{TRACK}/click/0">',
            "http://h/",
        ),
        (
            '<svg><a xlink:href="http://i/" href="http://h/">x</a></svg>',
            f'<svg><a xlink:href="http://i/" href="{TRACK}/click/0">x</a></svg>',
            "http://h/",
        ),
        (
            '<noscript><a href="http://h/">x</a></noscript>',
            f'<noscript><a href="{TRACK}/click/0">x</a></noscript>',
            "http://h/",
        ),
        (
            '<!--[if !mso]><!--><a href="http://h/">x</a><!--<![endif]-->',
            f'<!--[if !mso]><!--><a href="{TRACK}/click/0">x</a><!--<![endif]-->',
            "http://h/",
        ),
    ],
)
def test_absolute_links_are_tracked(before: str, after: str, url: str) -> None:
    assert tracked(before) == Rewritten(after, (url,), pixel=False)


@pytest.mark.parametrize(
    "html",
    [
        '<a href="mailto:a@h.example">', '<a href="tel:+1">', '<a href="javascript:alert(1)">',
        '<a href="#top">', '<a href="/path">', '<a href="//h/">', '<a href="ftp://h/">', '<a href="http:h">',
        '<a href="http:/h">', '<a href="http://">', '<a href="http:///?q">', '<a href="https:">',
        '<a href="">', "<a href>", "<a>", '<a href="httpx://h/">', '<a href="\u00a0http://h/">',
        '<a href="&nbsp;http://h/">', '<a data-track="false" href="http://h/">',
        '<a href="http://h/" DATA-TRACK=False>', '<link href="http://h/">', '<base href="http://h/">',
        '<area href="http://h/">', '<img src="http://h/">', '<form action="http://h/">',
        '<a data-href="http://h/">', '<a title="href=http://h/">', '<a xlink:href="http://h/">',
        '<abbr href="http://h/">', '</a href="http://h/">', 'text http://h/ &lt;a href="http://h/">',
        '<a href="#" href="http://h/">', "<!-- <a href='http://h/'> -->",
        "<!--[if mso]><a href='http://h/'>x</a><![endif]-->", "<script>'<a href=\"http://h/\">'</script>",
        "<style><a href='http://h/'></style>", "<title><a href='http://h/'></title>",
        "<textarea><a href='http://h/'></textarea>", "<xmp><a href='http://h/'></xmp>",
        "<iframe><a href='http://h/'></iframe>", "<noembed><a href='http://h/'></noembed>",
        "<noframes><a href='http://h/'></noframes>", "<plaintext><a href='http://h/'></plaintext>",
        "<a href='http://h/", "",
    ],
)  # fmt: skip
def test_everything_else_stays_as_it_is(html: str) -> None:
    assert tracked(html) == Rewritten(html, (), pixel=False)


def test_each_occurrence_has_its_own_index_in_document_order() -> None:
    html = '<a href="http://h/">1</a><a href="#">x</a><a href="http://h/">2</a><a href="http://i/">3</a>'
    assert tracked(html) == Rewritten(
        f'<a href="{TRACK}/click/0">1</a><a href="#">x</a><a href="{TRACK}/click/1">2</a>'
        f'<a href="{TRACK}/click/2">3</a>',
        ("http://h/", "http://h/", "http://i/"),
        pixel=False,
    )


@pytest.mark.parametrize(
    "html",
    [
        "<p>x|",
        "|",
        "<body>x|</body></html>",
        "x|</BODY\n>\n",
        "x</body>y|</body>z",
        "x|</body><!-- </body> --><script>'</body>'</script>",
        '<a href="#">x</a>|</body><a href="#">y</a>',
        "<p>x|<!-- never closed",
        "<p>x|<textarea>never closed",
        "<p>x|<a href='never closed",
    ],
)
def test_the_pixel_stands_before_the_last_end_of_the_body_or_at_the_end(html: str) -> None:
    before, after = html.split("|")
    assert tracked(before + after, clicks=False, opens=True) == Rewritten(before + PIXEL + after, (), pixel=True)


def test_links_on_both_sides_of_the_pixel_are_tracked() -> None:
    html = '<a href="http://h/"></a></body><a href="http://i/">'
    after = f'<a href="{TRACK}/click/0"></a>{PIXEL}</body><a href="{TRACK}/click/1">'
    assert tracked(html, opens=True) == Rewritten(after, ("http://h/", "http://i/"), pixel=True)


def test_nothing_is_touched_unless_asked_for() -> None:
    html = '<a href="http://h/"></a></body>'
    assert tracked(html, clicks=False) == Rewritten(html, (), pixel=False)


def test_an_email_id_is_a_uuid_however_it_is_given() -> None:
    html = '<a href="http://h/">'
    as_uuid = rewrite(html, email_id=UUID(EMAIL_ID), base_url="https://t.example", clicks=True, opens=True)
    assert as_uuid == tracked(html, opens=True)
    with pytest.raises(ValueError, match="badly formed"):
        rewrite(html, email_id='"><script>', base_url="https://t.example", clicks=True, opens=False)


def test_a_base_url_cannot_leave_its_attribute() -> None:
    base = "https://t.example/'\"> <b onload=x>&"
    found = rewrite("<a href=http://h/>x", email_id=EMAIL_ID, base_url=base, clicks=True, opens=True)
    nodes = LexborHTMLParser(found.html).css("a, img, b")
    assert [(node.tag, node.attributes.get("href") or node.attributes.get("src")) for node in nodes] == [
        ("a", f"{base}/api/emails/{EMAIL_ID}/track/click/0"),
        ("img", f"{base}/api/emails/{EMAIL_ID}/track/open"),
    ]


def test_ten_thousand_links_are_the_most() -> None:
    link = '<a href="http://h/">x</a>'
    assert len(tracked(link * 10_000).links) == 10_000
    with pytest.raises(TooManyLinks, match="10,000 tracked links"):
        tracked(link * 10_001)
    assert tracked(link * 10_001, clicks=False, opens=True).links == ()


def test_768_kb_of_urls_are_the_most_counted_in_utf_8() -> None:
    length = 768 * 1024
    assert tracked(f'<a href="http://h/{"x" * (length - 9)}">').links
    for path in ("x" * (length - 8), "é" * (length // 2)):
        with pytest.raises(TooManyLinks, match="768 KB"):
            tracked(f'<a href="http://h/{path}">')


def test_the_version_is_raised_with_every_change_of_what_comes_out() -> None:
    assert VERSION == 1


def large(links: int) -> str:
    row = '<tr><td style="padding:4px"><a class="b" href="https://h.example/p/%d?a=1&amp;b=2">No %d</a></td></tr>\n'
    return f"<html><body><table>{''.join(row % (n, n) for n in range(links))}</table></body></html>"


def test_a_large_newsletter_takes_a_fraction_of_the_two_seconds_it_may() -> None:
    html = large(8_000)
    html = html.replace("</table>", "</table>" + "<p>text of some length</p>\n" * ((1_000_000 - len(html)) // 27))
    started = time.process_time()
    assert len(tracked(html, opens=True).links) == 8_000
    assert time.process_time() - started < 1


# -- properties ----------------------------------------------------------------------------------------------

FRAGMENTS = [
    '<a href="http://h/?a&amp;b">', "<a href='https://i/'>", "<a href=http://j/>", '<A\nHREF = " HTTP://k ">',
    "<a href=x>", "</a>", '<a data-track="false" href="http://no/">', "text", "é\U0001f600", "\r\n",
    "<p class='x'>", "</p>", "<!-- ", "-->", "<script>", "</script>", "<style>", "</style>", "<svg>",
    "</svg>", "<title>", "</title>", "</body>", "</html>", "<", ">", '"', "'", "<textarea>", "</textarea>",
    f"{TRACK}/click/0", PIXEL,
]  # fmt: skip
HTML = st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join)


def restored(found: Rewritten, original: str) -> str:
    """The rewritten html with each tracked value put back, found again in the html that came out."""
    wanted = frozenset({"href"})
    originals = [
        original[slice(*values(original, anchor, wanted)["href"])]
        for anchor in scan(original).anchors
        if "href" in values(original, anchor, wanted)
    ]
    html = found.html
    spans = [values(html, anchor, wanted) for anchor in scan(html).anchors]
    for span, value in reversed(list(zip([s["href"] for s in spans if "href" in s], originals, strict=True))):
        html = html[: span[0]] + value + html[span[1] :]
    return html


@given(HTML)
def test_undoing_it_gives_the_original(html: str) -> None:
    assert restored(tracked(html), html) == html


@given(HTML)
def test_taking_the_pixel_out_gives_the_original(html: str) -> None:
    with_pixel = tracked(html, clicks=False, opens=True).html
    assert any(with_pixel == html[:at] + PIXEL + html[at:] for at in range(len(html) + 1))


@given(HTML)
def test_a_browser_sees_the_same_elements_with_other_targets(html: str) -> None:
    found = tracked(html)
    targets = {f"{TRACK}/click/{n}": url for n, url in enumerate(found.links)}

    def elements(text: str, targets: dict[str, str]) -> list[tuple[str | None, dict[str, str | None]]]:
        root = LexborHTMLParser(text).root
        assert root is not None
        found = []
        for node in root.traverse(include_text=False):
            attributes = dict(node.attributes)
            if "href" in attributes:
                href = attributes["href"] or ""
                attributes["href"] = targets.get(href, href.strip())
            found.append((node.tag, attributes))
        return found

    if f"{TRACK}/click/0" not in html:  # a body that quotes a tracked link would be mapped back as well
        assert elements(found.html, targets) == elements(html, {})
