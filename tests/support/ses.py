"""SES' API v2 on a random port of 127.0.0.1, in the shapes that AWS documents, with its bad days.

    async with SesServer() as ses:
        ses.account.identities["shop.example"] = Known("SUCCESS")    # may send
        ses.script["SendEmail"] = [refused(400, "SendingPausedException", "…")]   # acts, one by one, then the usual
        ...                                                          # speak HTTP with ses.url
        ses.account.letters[0].message, ses.requests[0].operation

It checks signatures (Signature Version 4) against its one key. A script's key is the operation's name.
Source of shapes and texts: the API reference of SES v2 and its botocore model; developer guide, manage-sending-quotas.
"""

import asyncio
import json
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self
from uuid import uuid4

from aiohttp import web

from tests.support.ses_account import Account, Refusal
from tests.support.ses_signature import why_unsigned

ACCESS_KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET_ACCESS_KEY = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"  # AWS' own example: with the letters that URLs change
REGION = "eu-west-1"

_ROUTES: Sequence[tuple[str, str, str]] = (
    ("POST", r"/outbound-emails", "SendEmail"),
    ("GET", r"/account", "GetAccount"),
    ("POST", r"/identities", "CreateEmailIdentity"),
    ("GET", r"/identities/([^/]+)", "GetEmailIdentity"),
    ("DELETE", r"/identities/([^/]+)", "DeleteEmailIdentity"),
    ("PUT", r"/identities/([^/]+)/mail-from", "PutEmailIdentityMailFromAttributes"),
    ("POST", r"/configuration-sets", "CreateConfigurationSet"),
    ("POST", r"/configuration-sets/([^/]+)/event-destinations", "CreateConfigurationSetEventDestination"),
    ("PUT", r"/configuration-sets/([^/]+)/event-destinations/([^/]+)", "UpdateConfigurationSetEventDestination"),
)


@dataclass(frozen=True, slots=True)
class Act:
    """What the server does in place of answering, or before. `carry_out`: the request takes effect all the same."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    then: Literal["answer", "usual", "hang", "close", "cut", "trickle"] = "answer"
    """`cut`: half of the body, then the connection is closed. `trickle`: a byte now and then."""
    carry_out: bool = False
    delay: float = 0
    """Seconds before all this."""


def refused(status: int, code: str, message: str) -> Act:
    """An error as SES writes it: the code in a header, the words in the body."""
    return Act(status, json.dumps({"message": message}).encode(), {"x-amzn-ErrorType": code})


def html(status: int) -> Act:
    """As a gateway in front of it answers."""
    return Act(status, f"<html><body><h1>{status}</h1></body></html>".encode(), {"Content-Type": "text/html"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    operation: str
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]
    connection: object


@dataclass(slots=True)
class SesServer:
    """Serves one account; `script` comes first."""

    account: Account = field(default_factory=Account)
    script: dict[str, Act | Sequence[Act]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    at_work: int = 0
    most_at_work: int = 0
    port: int = 0
    access_key_id: str = ACCESS_KEY_ID
    secret_access_key: str = SECRET_ACCESS_KEY
    certificate: ssl.SSLContext | None = None
    _runner: web.AppRunner | None = None
    _over: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)
    _played: dict[str, int] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=60_000_000)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # A handler is not cancelled when its client leaves: SES would not notice either.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=2)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self.certificate).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    @property
    def url(self) -> str:
        """What is set as the endpoint."""
        return f"{'http' if self.certificate is None else 'https'}://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open; aiohttp lists those too that are gone while their request is still at work."""
        server = self._runner.server if self._runner else None
        return sum(each.transport is not None for each in server.connections) if server else 0

    async def hang_up(self) -> None:
        """Close every connection as a server does whose patience with idle ones is over; go on listening."""
        server = self._runner.server if self._runner else None
        transports = [each.transport for each in server.connections if each.transport] if server else []
        for transport in transports:
            transport.close()
        # Closing is only begun by that: the far side can know of it once the socket is gone.
        while any(transport.get_extra_info("socket").fileno() != -1 for transport in transports):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        """Nothing listens any more."""
        self._over.set()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def came(self, operation: str, times: int = 1) -> None:
        """Return when so many requests for it have come, each complete."""
        async with self._news:
            await self._news.wait_for(lambda: self._played.get(operation, 0) >= times)

    def count(self, operation: str) -> int:
        """How many requests for it came."""
        return self._played.get(operation, 0)

    # ------------------------------------------------------------------------------------------------ every request

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        operation, names = _route(request)
        body = json.loads(raw) if raw else {}
        self.requests.append(Request(operation, request.path, request.headers, body, request.transport))
        async with self._news:
            number = self._played[operation] = self._played.get(operation, 0) + 1
            self._news.notify_all()
        planned = self.script.get(operation, ())
        usual = Act(then="usual")
        act = planned if isinstance(planned, Act) else planned[number - 1] if number <= len(planned) else usual
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            return await self._play(act, request, lambda: self._answer(request, raw, operation, names, body))
        finally:
            self.at_work -= 1

    async def _play(self, act: Act, request: web.Request, usual: Callable[[], web.Response]) -> web.StreamResponse:
        if act.delay:
            await asyncio.sleep(act.delay)  # slowness is what is played here
        if act.then == "usual":
            return usual()
        if act.carry_out:
            usual()
        if act.then == "hang":
            await self._over.wait()
        if act.then in {"hang", "close"}:
            return _broken_off(request)
        headers = {"Content-Type": "application/json", "x-amzn-RequestId": str(uuid4()), **act.headers}
        if act.then == "answer":
            return web.Response(status=act.status, body=act.body, headers=headers)
        response = web.StreamResponse(status=act.status, headers={**headers, "Content-Length": str(len(act.body))})
        await response.prepare(request)
        if act.then == "cut":
            await response.write(act.body[: len(act.body) // 2])
            _broken_off(request)
            return response
        for position in range(len(act.body)):
            await response.write(act.body[position : position + 1])
            await asyncio.sleep(0.02)  # so slowly that no single wait is long
        return response

    def _answer(
        self, request: web.Request, raw: bytes, operation: str, names: Sequence[str], body: Mapping[str, Any]
    ) -> web.Response:
        unsigned = why_unsigned(request, raw, self.access_key_id, self.secret_access_key)
        try:
            answer = self.account.answer(operation, names, body) if unsigned is None else {}
            refusal = Refusal(403, *unsigned) if unsigned is not None else None
        except Refusal as error:
            refusal = error
        if refusal is not None:
            act = refused(refusal.status, refusal.code, refusal.message)
            return web.Response(status=act.status, body=act.body, headers=dict(act.headers))
        return web.json_response(answer, headers={"x-amzn-RequestId": str(uuid4())})


def _route(request: web.Request) -> tuple[str, Sequence[str]]:
    for method, path, operation in _ROUTES:
        found = re.fullmatch(r"/v2/email" + path, request.path)
        if found and method == request.method:
            return operation, found.groups()
    return f"{request.method} {request.path}", ()


def _broken_off(request: web.Request) -> web.StreamResponse:
    """The connection is gone; aiohttp wants something to return all the same."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
