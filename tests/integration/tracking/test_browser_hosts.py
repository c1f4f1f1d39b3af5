"""A click leads where a browser would have gone from the original link: compared with the URL parser of Node.js."""

import json
import random
import subprocess

from services.tracking.hits.location_rules import location
from tests.support.programs import program

HOSTS = 10_000
PARSE = """
const [urls, base] = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const host = url => { try { return new URL(url, base).host } catch { return null } };
process.stdout.write(JSON.stringify(urls.map(host)));
"""
# Letters of many scripts, what maps to something else, what is invisible, what separates, and what looks like an
# address. U+1E9E is left out: Unicode 15.1 maps it to another letter than the tables of older Node versions.
PIECES = (
    *"aBZ09-_~!'()*+,;=$&.",
    *"üß\u03c2\u03a3é\u0130\u0131\ufb00\uff45\uff21K\u00c5\u01c5\u65e5\u672c\u4e2d\u05d0\u0628\u0646\u06a9\u0915\u094d\u0937\u0e44\ud55c\u1100\u0663\u0640\u0640\uab70\U00010400\U0001d538",
    *"\u2603\u263a\U0001f600\U0001f468\U0001f469\U0001f3f3\U0001f3f4®\u2122²½\u2103\u2460\u2473",
    *"\ufe0f\ufe0e\u200d\u200c\u00ad\u2060\u0301",
    *("e\u0301", "\u3002", "\uff0e", "xn--", "xn--n3h", "xn--a", "%C3%BC", "%41", "1", "127", "0x7f"),
    *("\uff0f", "\uff20", "\uff1f", "\uff03", "\uff1a", "\u2044", "\u3000"),
)


# A browser takes all of these for the same two slashes, unless the URL is read on a page of the same scheme.
STARTS = ("https://", "https:", "https:/", "https:///", "https:\\", "HTTPS:\\/", "http:", "http://", "https://me@")
HERE = "https://click.example/t/1"


def parsed(urls: list[str], base: str | None = None) -> list[str | None]:
    """The host that each leads to, None where a browser refuses; `base` is the page that it is read on."""
    node = program("node", "its URL parser is a browser's")
    question = json.dumps([urls, base or "about:blank"]).encode()
    done = subprocess.run([node, "-e", PARSE], input=question, capture_output=True, check=True)
    found: list[str | None] = json.loads(done.stdout)
    return found


def hosts() -> list[str]:
    choose = random.Random(20_261_126)  # noqa: S311 - the same hosts every time, no secret

    def label() -> str:
        return "".join(choose.choice(PIECES) for _ in range(choose.randint(1, 4)))

    return [".".join([label() for _ in range(choose.randint(1, 3))] + ["example"]) for _ in range(HOSTS)]


def test_ten_thousand_urls_lead_where_a_browser_goes() -> None:
    urls = [f"{STARTS[number % len(STARTS)]}{host}/x" for number, host in enumerate(hosts())]
    originals, redirects = parsed(urls), redirected(urls)
    opened = [index for index, host in enumerate(originals) if host is not None]
    assert len(opened) > HOSTS / 3
    wrong = [
        (urls[index], originals[index], redirects[index]) for index in opened if originals[index] != redirects[index]
    ]
    assert wrong == []


def redirected(urls: list[str]) -> list[str | None]:
    """Where the answer to a click leads, None when there is none; it is read on our own host."""
    targets = [location(url) for url in urls]
    led = parsed([target or "" for target in targets], HERE)
    return [host if target else None for host, target in zip(led, targets, strict=True)]


def test_a_url_that_a_browser_refuses_leads_to_no_invented_host() -> None:
    hosts = ("xn--\u00fc.example", "a.xn--\u2603", "XN--\u65e5.example", "xn--%C3%BC.example")
    urls = [f"https://{host}/x" for host in hosts] + ["https:", "https://", "https:///", "http://me@"]
    assert parsed(urls) == redirected(urls) == [None] * len(urls)


def test_a_host_that_no_browser_opens_leads_to_no_other_host() -> None:
    """U+FF0F becomes `/` when it is mapped: what stands before it must not become the host."""
    urls = [f"https://good.example{separator}evil.example/x" for separator in "\uff0f\uff1f\uff03\uff20\uff1a\uff3c"]
    assert parsed(urls) == redirected(urls) == [None] * len(urls)
