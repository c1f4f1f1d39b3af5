"""The demo's readers: they find their mail in the inbox, load its pixel and follow its links."""

import http.client
from html.parser import HTMLParser
from urllib.parse import urlsplit

from deploy.local.demo.api import Api, Run
from deploy.local.errors import LocalError

PAGE = 100


def in_inbox(api: Api, run: Run, most: int) -> list[int]:
    """The ids of this run's messages, one for each recipient who has got any, in the order of the addresses."""
    found: dict[str, int] = {}
    page, pages = 1, 1
    while page <= pages and len(found) < most:
        listed = api.call("GET", f"/local-inbox?page={page}&page_size={PAGE}")
        for each in listed["data"]:
            for address in each["rcpt_to"]:
                if address.endswith(f"@{run.domain}"):
                    found[address] = each["id"]
        page, pages = page + 1, -(-listed["total"] // PAGE)
    return [found[address] for address in sorted(found)]


def _links(api: Api, id: int) -> "_Links":
    parser = _Links()
    parser.feed(api.call("GET", f"/local-inbox/{id}")["html"])
    return parser


def load_pixel(api: Api, id: int) -> None:
    for address in _links(api, id).pixels:
        _expect(address, 200)


def follow_link(api: Api, id: int) -> None:
    _expect(_links(api, id).links[0], 302)


def _expect(address: str, status: int) -> None:
    """GET without following where it leads: shop.example is nobody's."""
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=10)
    try:
        connection.request("GET", parts.path, headers={"User-Agent": "Mozilla/5.0 (demo reader)"})
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != status:
        raise LocalError(f"{address} answered {answer.status}, not {status}")


class _Links(HTMLParser):
    """The addresses of pixels and tracked links, in document order."""

    def __init__(self) -> None:
        super().__init__()
        self.pixels: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        for kind, name, into in (("img", "src", self.pixels), ("a", "href", self.links)):
            address = found.get(name)
            if tag == kind and address and "/track/" in address:
                into.append(address)
