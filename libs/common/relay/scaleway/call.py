"""One exchange with Scaleway's API: how it is asked, and an answer of which nothing is taken on trust."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlencode

import orjson

from libs.common.relay.http.client import HttpClient
from libs.common.relay.http.messages import HttpAnswer, HttpRequest, HttpSettings, NotSent
from libs.common.relay.port import BeforeDot, Trouble
from libs.common.relay.redact import redact
from libs.common.relay.scaleway.settings import ScalewaySettings

log = logging.getLogger(__name__)

Method = Literal["GET", "POST"]

_TLS = "Check TEMPS_SCALEWAY_API_URL and this machine's clock."


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of any status. `content` is the body where it is JSON and an object, else None."""

    status: int
    content: Mapping[str, Any] | None
    text: str
    """The body's beginning where it is plain text: error pages are no words for a person."""

    @property
    def type(self) -> str:
        """The machine's name for an error; "" where there is none."""
        found = (self.content or {}).get("type")
        return found if isinstance(found, str) else ""


class Caller:
    """The exchanges of one relay."""

    def __init__(self, settings: ScalewaySettings) -> None:
        self.settings = settings
        # The operator chose the host: what users may connect to is no question here.
        self._client = HttpClient(
            HttpSettings(settings.max_connections, settings.connect_timeout, settings.read_timeout), policy=None
        )

    async def call(
        self,
        method: Method,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        before_dot: BeforeDot | None = None,
    ) -> Answer:
        """One exchange; `path` begins below the region. Raises as `HttpClient.exchange`."""
        url = f"{self.settings.base_url}{path}" + (f"?{urlencode(query)}" if query else "")
        data = orjson.dumps(body) if body is not None else None
        request = HttpRequest(method, url, self._headers(data), data)
        secrets = self.settings.secrets()
        got = await self._client.exchange(request, before_dot=before_dot)
        answer = _read(got, secrets)
        request_id, kind = (redact(each, secrets) for each in (got.headers.get("x-request-id", "-"), answer.type))
        level = logging.DEBUG if answer.status < 300 else logging.WARNING
        log.log(level, "scaleway answered %d %s, request %s", answer.status, kind, request_id)
        return answer

    async def close(self) -> None:
        """Idle connections go now; with exchanges at work, the last of them closes when it is done."""
        await self._client.close()

    def _headers(self, data: bytes | None) -> dict[str, str]:
        headers = {
            "X-Auth-Token": self.settings.api_key.get_secret_value(),
            "Accept": "application/json",
            "User-Agent": "temps",
        }
        return headers | {"Content-Type": "application/json"} if data is not None else headers


def trouble(failure: NotSent) -> Trouble:
    """Scaleway was not reached."""
    suggestion = _TLS if failure.kind == "configuration" else failure.suggestion
    return Trouble(failure.kind, failure.text, suggestion=suggestion)


def _read(answer: HttpAnswer, secrets: tuple[str, ...]) -> Answer:
    """429 and 5xx may come from a gateway, as HTML or plain text: Content-Type decides before anything is parsed."""
    kind = answer.content_type
    if kind != "application/json":
        text = redact(answer.body.decode("utf-8", "replace"), secrets) if kind == "text/plain" else ""
        return Answer(answer.status, None, text)
    try:
        content = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        content = None
    return Answer(answer.status, content if isinstance(content, dict) else None, "")
