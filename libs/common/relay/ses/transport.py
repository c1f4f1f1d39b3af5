"""aiobotocore's HTTP session, ours: its requests go out by the same client as everything else, to checked addresses."""

from dataclasses import dataclass
from typing import Any, Self

from aiobotocore.awsrequest import AioAWSResponse

from libs.common.relay.http.client import HttpClient
from libs.common.relay.http.messages import HttpRequest


@dataclass(frozen=True, slots=True)
class Transport:
    """Raises `NotSent` and `NoAnswer` instead of botocore's errors; redirects are answers."""

    client: HttpClient

    def __call__(self, **_ours: Any) -> Self:
        """As aiobotocore calls its session class (`AioConfig.http_session_cls`); what it derives is not wanted."""
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """The client is the relay's, which closes it."""

    async def send(self, request: Any) -> AioAWSResponse:
        """One request, one answer."""
        headers = {name: _text(value) for name, value in request.headers.items()}
        body = request.body or None
        body = body.encode() if isinstance(body, str) else body
        answer = await self.client.exchange(HttpRequest(request.method, request.url, headers, body))
        return AioAWSResponse(request.url, answer.status, answer.headers, _Body(answer.body))


@dataclass(frozen=True, slots=True)
class _Body:
    octets: bytes

    async def read(self) -> bytes:
        return self.octets


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
