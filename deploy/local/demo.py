"""`make demo`: 200 tracked emails through the running system, opened and clicked as their readers would, and the sum.

What it opens and clicks comes out of the mail that arrived in the inbox, so that the whole way is shown.
"""

import http.client
import json
import os
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlsplit

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from deploy.local.errors import LocalError
from deploy.local.home import Home, open_home, running_pid

EMAILS = 200
THREADS = 8
ARRIVAL_SECONDS = 60.0
FIGURES_SECONDS = 15.0
# Every so many messages one is opened, and one has a link followed.
OPEN_STEP, CLICK_STEP = 2, 5

STATUSES = ("queued", "captured", "sent", "delivered", "bounced", "failed", "suppressed")
FIGURES = ("delivered", "opened", "clicked", "bounced", "complained", "open_rate", "click_rate", "bounce_rate")


@dataclass(frozen=True)
class Api:
    """One gateway and a key."""

    url: str
    key: str

    def call(self, method: str, path: str, body: object = None) -> Any:
        """The parsed answer.

        Raises:
            LocalError: anything but 2xx, with the problem's own words.
        """
        request = urllib.request.Request(  # noqa: S310 - our own gateway
            f"{self.url}/api{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise LocalError(f"{method} {path}: {error.code} {error.read(500).decode()}") from None
        except OSError as error:
            raise LocalError(f"{method} {path}: {error}") from None


@dataclass(frozen=True)
class Run:
    """What this demo sends; its tag and domain tell it from everything else in the system."""

    tag: str
    domain: str

    def recipient(self, number: int) -> str:
        """Two of them misbehave (deploy/local/inbox/smtp.py)."""
        names = {40: "bounced", 80: "deferred"}
        return f"{names.get(number, f'reader{number:03}')}@{self.domain}"

    def email(self, number: int) -> dict[str, object]:
        return {
            "from": "Shop <hello@shop.example>",
            "to": self.recipient(number),
            "subject": f"Your order {number:03}",
            "html": (
                f"<html><body><h1>Order {number:03}</h1><p>It is on its way: "
                f'<a href="https://shop.example/orders/{number}">follow it</a>, or '
                '<a href="https://shop.example/help">ask us</a>.</p></body></html>'
            ),
            "text": f"Order {number:03} is on its way: https://shop.example/orders/{number}",
            "tags": [self.tag],
            "track_opens": True,
            "track_clicks": True,
        }


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


def main() -> int:
    console = Console()
    try:
        demo(open_home(os.environ), console)
    except LocalError as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        return 1
    return 0


def demo(home: Home, console: Console) -> None:
    url = home.gateway_url()
    if url is None or running_pid(home) is None:
        raise LocalError(f"nothing runs here (TEMPS_HOME={home.path}): make up, in another terminal")
    api = Api(url, (home / "api-key").read_text().strip())
    name = f"demo-{secrets.token_hex(4)}"
    run = Run(name, f"{name}.example")
    columns = TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(THREADS) as threads:
        began = time.monotonic()
        sent = _each(progress, threads, "sending", range(EMAILS), lambda number: _send(api, run, number))
        sending = time.monotonic() - began
        arrived = _arrived(progress, api, run)
        arriving = time.monotonic() - began
        opened = arrived[::OPEN_STEP]
        clicked = arrived[::CLICK_STEP]
        _each(progress, threads, "opening (the pixel)", opened, lambda id: _open(api, id))
        _each(progress, threads, "clicking (a link)", clicked, lambda id: _click(api, id))
    figures = _figures(api, run, len(set(opened)), len(set(clicked)))
    console.print(f"{EMAILS} accepted in {sending:.1f} s, {len(arrived)} in the inbox after {arriving:.1f} s")
    _show(console, api, run, figures)
    for title, number in (("A bounce", 40), ("A deferral", 80)):
        _show_email(console, api, title, sent[number])
    console.print(f"\nMore of it: {url}/api/emails?tag={run.tag}, {url}/api/local-inbox", highlight=False)


def _each(
    progress: Progress, threads: ThreadPoolExecutor, title: str, things: Any, do: Callable[[Any], Any]
) -> list[Any]:
    task = progress.add_task(title, total=len(things))
    done = []
    for result in threads.map(do, things):
        done.append(result)
        progress.advance(task)
    return done


def _send(api: Api, run: Run, number: int) -> str:
    return str(api.call("POST", "/emails", run.email(number))["id"])


def _arrived(progress: Progress, api: Api, run: Run) -> list[int]:
    """The ids of this run's messages in the inbox, once all that can arrive have."""
    expected = EMAILS - 2
    task = progress.add_task("arriving in the inbox", total=expected)
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while True:
        found = _in_inbox(api, run)
        progress.update(task, completed=len(found))
        if len(found) >= expected:
            return found
        if time.monotonic() > deadline:
            raise LocalError(f"only {len(found)} of {expected} arrived within {ARRIVAL_SECONDS:g} s: make status")
        time.sleep(0.2)


def _in_inbox(api: Api, run: Run) -> list[int]:
    found: dict[str, int] = {}
    page = 1
    while len(found) < EMAILS:
        listed = api.call("GET", f"/local-inbox?page={page}&page_size=100")["data"]
        for each in listed:
            for address in each["rcpt_to"]:
                if address.endswith(f"@{run.domain}"):
                    found.setdefault(address, each["id"])
        if len(listed) < 100 or page * 100 >= EMAILS + 100:
            break
        page += 1
    return [id for _, id in sorted(found.items()) if id]


def _links(api: Api, id: int) -> _Links:
    parser = _Links()
    parser.feed(api.call("GET", f"/local-inbox/{id}")["html"])
    return parser


def _open(api: Api, id: int) -> None:
    for address in _links(api, id).pixels:
        _expect(address, 200)


def _click(api: Api, id: int) -> None:
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


def _figures(api: Api, run: Run, opened: int, clicked: int) -> dict[str, Any]:
    """The figures of this run, once they have caught up with what was just done."""
    deadline = time.monotonic() + FIGURES_SECONDS
    while True:
        figures: dict[str, Any] = api.call("GET", f"/emails/events/stats?tag={quote(run.tag)}")
        if (figures["opened"] >= opened and figures["clicked"] >= clicked) or time.monotonic() > deadline:
            return figures
        time.sleep(0.1)


def _show(console: Console, api: Api, run: Run, figures: dict[str, Any]) -> None:
    table = Table(title="The figures of these emails", title_justify="left")
    table.add_column("status")
    table.add_column("emails", justify="right")
    table.add_column("figure")
    table.add_column("value", justify="right")
    listed = [(status, _count(api, run, status)) for status in STATUSES]
    statuses = [(status, str(count)) for status, count in listed if count]
    values = [(name, _value(name, figures[name])) for name in FIGURES]
    for index in range(max(len(statuses), len(values))):
        left = statuses[index] if index < len(statuses) else ("", "")
        right = values[index] if index < len(values) else ("", "")
        table.add_row(*left, *right)
    console.print(table)


def _count(api: Api, run: Run, status: str) -> int:
    return int(api.call("GET", f"/emails?tag={quote(run.tag)}&status={status}&page_size=1")["total"])


def _value(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} %" if name.endswith("_rate") else str(value)


def _show_email(console: Console, api: Api, title: str, id: str) -> None:
    console.print(f"\n{title}: {id}", highlight=False)
    for each in api.call("GET", f"/emails/{id}")["recipients"]:
        reply = " ".join(str(each[name]) for name in ("smtp_code", "enhanced_status", "detail") if each[name])
        console.print(f"  {each['address']}: {each['status']} {reply}", highlight=False, markup=False)
    for fact in api.call("GET", f"/emails/{id}/timeline"):
        console.print(f"  {fact['time']}  {fact['type']}", highlight=False, markup=False)


if __name__ == "__main__":
    sys.exit(main())
