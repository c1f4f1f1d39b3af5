"""One HTTP exchange with Scaleway: on which side of "the request began" something broke, and an answer of bounded size.

aiohttp keeps the connections; it never follows redirects, reads no proxy from the environment and repeats nothing that
could send twice (it repeats only idempotent methods, client.py of 3.14).
"""

import asyncio
import io
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
import orjson
from aiohttp.client import ClientTimeout

from libs.common.relay.classify import clean
from libs.common.relay.port import BeforeDot, Trouble
from libs.common.relay.scaleway.gate import GATE, Gate, GatedConnector, Stopped
from libs.common.relay.scaleway.settings import ScalewaySettings

log = logging.getLogger(__name__)

Method = Literal["GET", "POST"]

_LARGEST_ANSWER = 1 << 20
"""Bytes; ten recipients or a hundred domains need a tenth of it."""
_KEEP_ALIVE = 30
"""Seconds that an idle connection is kept."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever it is. `content` is the body where it is JSON and an object, else None."""

    status: int
    content: Mapping[str, Any] | None
    text: str
    """The body's beginning where it is plain text: error pages are no words for a person."""

    @property
    def type(self) -> str:
        """The machine's name for an error; "" where there is none."""
        found = (self.content or {}).get("type")
        return found if isinstance(found, str) else ""


class NotSent(Exception):
    """Nothing reached the API; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.text)
        self.trouble = trouble


class NoAnswer(Exception):
    """The request was on its way, and no usable answer came."""


class Abandoned(Exception):
    """`before_dot` said no; nothing was written."""


class Caller:
    """The exchanges of one relay: at most `max_connections` at once, on kept connections."""

    def __init__(self, settings: ScalewaySettings) -> None:
        self.settings = settings
        self._slots = asyncio.Semaphore(settings.max_connections)
        self._session: aiohttp.ClientSession | None = None
        self._at_work = 0
        self._closed = False

    async def call(
        self,
        method: Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        before_dot: BeforeDot | None = None,
    ) -> Answer:
        """One exchange; `path` begins below the region. Raises `NotSent`, `NoAnswer`, `Abandoned`.

        What `before_dot` raises comes out.
        """
        async with self._slots:
            self._at_work += 1
            try:
                return await self._exchange(method, path, query, body, before_dot)
            finally:
                self._at_work -= 1
                if self._closed and not self._at_work:
                    await self._leave()

    async def close(self) -> None:
        """Idle connections go now; with exchanges at work, the last of them closes when it is done."""
        self._closed = True
        if not self._at_work:
            await self._leave()

    async def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(
        self,
        method: Method,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
        before_dot: BeforeDot | None,
    ) -> Answer:
        settings = self.settings
        data = orjson.dumps(body) if body is not None else None
        deadline = asyncio.timeout(None)
        gate = Gate(before_dot, settings.read_timeout, deadline)
        token = GATE.set(gate)
        try:
            async with deadline:
                return await self._answer(method, f"{settings.base_url}{path}", query, data)
        except Stopped:
            if gate.raised is not None:
                raise gate.raised from None
            raise Abandoned from None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            words = self._words(error)
            if gate.begun:
                raise NoAnswer(words) from None
            raise NotSent(_trouble(error, words)) from None
        finally:
            GATE.reset(token)

    async def _answer(self, method: Method, url: str, query: Mapping[str, str] | None, data: bytes | None) -> Answer:
        async with self._opened().request(
            method,
            url,
            params=query,
            data=io.BytesIO(data) if data is not None else None,  # in blocks: a large one would hold up the loop
            headers=self._headers(data),
            allow_redirects=False,
        ) as response:
            body = bytearray()
            async for piece in response.content.iter_any():
                body += piece
                if len(body) > _LARGEST_ANSWER:
                    response.close()
                    raise NoAnswer(f"an answer of more than {_LARGEST_ANSWER} bytes")
            secrets = self.settings.secrets()
            answer = _read(response, bytes(body), secrets)
            request_id, kind = (
                clean(each, secrets) for each in (response.headers.get("X-Request-Id", "-"), answer.type)
            )
            level = logging.DEBUG if answer.status < 300 else logging.WARNING
            log.log(level, "scaleway answered %d %s, request %s", answer.status, kind, request_id)
            return answer

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            settings = self.settings
            # Whoever waits for a slot waits at ours: only then does `connect` measure connecting and nothing else.
            timeout = ClientTimeout(total=None, connect=settings.connect_timeout, sock_connect=settings.connect_timeout)
            self._session = aiohttp.ClientSession(
                connector=GatedConnector(limit=settings.max_connections, keepalive_timeout=_KEEP_ALIVE),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=timeout,
                trust_env=False,
            )
        return self._session

    def _headers(self, data: bytes | None) -> dict[str, str]:
        headers = {
            "X-Auth-Token": self.settings.api_key.get_secret_value(),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "temps",
        }
        return headers | {"Content-Type": "application/json"} if data is not None else headers

    def _words(self, error: Exception) -> str:
        if isinstance(error, aiohttp.ServerDisconnectedError):
            return "the connection was lost"
        if isinstance(error, TimeoutError):
            return "no answer in time"
        return clean(str(error) or type(error).__name__, self.settings.secrets())


def _trouble(error: Exception, words: str) -> Trouble:
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return Trouble("configuration", words, suggestion="Check TEMPS_SCALEWAY_API_URL and this machine's clock.")
    if isinstance(error, TimeoutError):
        return Trouble("connection", "Scaleway's API could not be reached in time")
    return Trouble("connection", words)


def _read(response: aiohttp.ClientResponse, body: bytes, secrets: tuple[str, ...]) -> Answer:
    """429 and 5xx may come from a gateway, as HTML or plain text: Content-Type decides before anything is parsed."""
    kind = response.content_type
    if kind != "application/json":
        text = clean(body.decode("utf-8", "replace"), secrets) if kind == "text/plain" else ""
        return Answer(response.status, None, text)
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    return Answer(response.status, content if isinstance(content, dict) else None, "")
