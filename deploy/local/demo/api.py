"""The demo's caller of the API, and what it sends."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

from deploy.local.errors import LocalError

BOUNCED, DEFERRED = 40, 80  # the numbers of the emails that the inbox refuses (deploy/local/inbox/smtp.py)


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
    """The demo's emails; tag and domain distinguish them from all other mail."""

    tag: str
    domain: str

    def recipient(self, number: int) -> str:
        names = {BOUNCED: "bounced", DEFERRED: "deferred"}
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
