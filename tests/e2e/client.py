"""A caller of the HTTP API as an application would be: plain HTTP/1.1, one connection a thread, no retries."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import urlencode, urlsplit

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """`url` is the gateway's, `key` an API key; the calling thread's connection is kept open."""

    def __init__(self, url: str, key: str) -> None:
        self.url, self.key = url, key
        self._local = threading.local()
        self._opened: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every thread's connection."""
        for connection in self._opened:
            connection.close()

    def request(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None, timeout: float = 30
    ) -> Answer:
        """One request; a header that is "" is left away. Raises OSError or HTTPException when there is no answer."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            parts = urlsplit(self.url)
            connection = self._local.connection = http.client.HTTPConnection(
                parts.hostname or "", parts.port, timeout=timeout
            )
            self._opened.append(connection)
        given = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        given = {name: value for name, value in given.items() if value}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, data, given)
            response = connection.getresponse()
            answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (OSError, http.client.HTTPException):
            connection.close()
            self._local.connection = None
            raise
        if response.will_close:
            connection.close()
            self._local.connection = None
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """The JSON of a GET that must be answered with 200."""
        answer = self.request("GET", f"{path}?{urlencode(query)}" if query else path)
        assert answer.status == 200, (path, answer.status, answer.body[:500])
        return answer.json

    def post(self, path: str, body: Any, *, status: int = 201) -> Any:
        """The JSON of a POST that must be answered with `status`."""
        answer = self.request("POST", path, body)
        assert answer.status == status, (path, answer.status, answer.body[:500])
        return answer.json if answer.body else None

    def pages(self, path: str, **query: Any) -> Iterator[Any]:
        """Every item of a list, page by page."""
        page = 1
        while True:
            found = self.get(path, page=page, page_size=100, **query)
            yield from found["data"]
            if page * 100 >= found["total"]:
                return
            page += 1


def until(
    look: Callable[[], T], good: Callable[[T], bool], *, seconds: float, pause: float = 0.05, what: str = ""
) -> T:
    """Look again until it is good; the last look when the deadline has passed fails the test and is shown."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = look()
            if good(found):
                return found
            seen = repr(found)
        except (OSError, http.client.HTTPException, AssertionError) as error:
            seen = repr(error)
        assert time.monotonic() < deadline, f"{what or 'not there'} within {seconds} s: {seen}"
        time.sleep(pause)
