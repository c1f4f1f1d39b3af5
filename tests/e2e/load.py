"""Mail under load, and the account of it afterwards: who was told 201, what arrived, what was counted."""

import http.client
import threading
import time
from collections import Counter
from types import TracebackType
from typing import Self
from uuid import uuid4

from tests.e2e.client import Api, until

_THREADS = 4


class Load:
    """Posts emails at `rate` per second until it is left; every email carries the run's tag."""

    def __init__(self, api: Api, *, rate: float, most: int = 4_000, sender: str = "load@load.example") -> None:
        self.api, self.rate, self.most, self.sender = api, rate, most, sender
        self.run = f"run-{uuid4().hex[:12]}"
        self.accepted: list[str] = []
        self.unknown: list[str] = []
        self.silent = 0
        self.refused: Counter[int] = Counter()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._number = 0
        self._threads = [threading.Thread(target=self._post, daemon=True) for _ in range(_THREADS)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def wait_accepted(self, count: int, *, seconds: float = 30) -> None:
        """Until `count` more emails have been accepted than now."""
        goal = len(self.accepted) + count
        until(lambda: len(self.accepted), lambda now: now >= goal, seconds=seconds, what="accepted emails")

    def wait_all(self, *, seconds: float = 60) -> None:
        """Until all `most` emails have been accepted."""
        until(lambda: len(self.accepted), lambda now: now >= self.most, seconds=seconds, what="accepted emails")

    def _post(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                self._number += 1
                number = self._number
            if number > self.most:
                return
            started = time.monotonic()
            self._one(number)
            self._stop.wait(max(0.0, _THREADS / self.rate - (time.monotonic() - started)))

    def _one(self, number: int) -> None:
        body = {
            "from": self.sender,
            "to": f"r{number}@{self.run}.example",
            "subject": f"Number {number}",
            "html": '<a href="https://example.com/">x</a>',
            "text": "x",
            "tags": [self.run],
            "track_opens": number % 2 == 0,
        }
        try:
            answer = self.api.request("POST", "/api/emails", body)
        except (OSError, http.client.HTTPException):
            self.silent += 1
            return
        if answer.status == 201:
            self.accepted.append(answer.json["id"])
        elif answer.json.get("error_code") == "OUTCOME_UNKNOWN" and "email_id" in answer.json:
            self.unknown.append(answer.json["email_id"])
        else:
            self.refused[answer.status] += 1


def copies_in_inbox(api: Api, run: str) -> Counter[str]:
    """How often each email of a run arrived, by email id (our Message-ID begins with it)."""
    return Counter(
        message["message_id"].strip("<>").partition("@")[0]
        for message in api.pages("/api/local-inbox")
        if any(address.endswith(f"@{run}.example") for address in message["rcpt_to"])
    )


def account(load: Load, *, seconds: float = 60) -> Counter[str]:
    """Every accepted email arrived, once for each outcome that is known, and is counted once; the copies by id."""
    api, run = load.api, load.run
    until(
        lambda: (len(set(load.accepted) - set(copies_in_inbox(api, run))), api.get("/api/emails", tag=run)["total"]),
        lambda seen: seen[0] == 0 and seen[1] >= len(load.accepted),
        seconds=seconds,
        pause=0.5,
        what="(accepted and not delivered, counted)",
    )
    until(
        lambda: api.get("/api/emails", tag=run, status="queued")["total"],
        lambda queued: queued == 0,
        seconds=seconds,
        pause=0.3,
        what="emails still queued",
    )
    copies = copies_in_inbox(api, run)
    listed = [email["id"] for email in api.pages("/api/emails", tag=run)]
    assert len(listed) == len(set(listed))
    assert set(listed) == set(copies), "what is counted is what arrived"
    assert set(load.accepted) <= set(copies)
    assert len(copies) <= len(load.accepted) + len(load.unknown) + load.silent
    for email_id, count in copies.items():
        if count > 1:
            facts = [fact["type"] for fact in api.get(f"/api/emails/{email_id}/timeline")]
            assert count <= 1 + facts.count("email.unknown.v1"), (email_id, count, facts)
    stats = api.get("/api/emails/events/stats", tag=run)
    assert stats["delivered"] == len(copies)
    return copies
