"""How a request to SES goes over the wire: to checked addresses only, and known at each moment to be out or not.

It stands in for aiobotocore's own transport (`AioConfig(http_session_cls=…)`), which follows redirects, reads proxies
from the environment and does not tell whether a request that failed had left. Imported when a client is opened, not
before: aiohttp costs 15 MB.
"""

import asyncio
import io
import logging
import socket
import ssl
import time
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import aiohttp
from aiobotocore.awsrequest import AioAWSResponse
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from libs.common.relay.classify import clean
from libs.common.relay.outbound import OutboundPolicy, OutboundRefused, literal, permitted_addresses
from libs.common.relay.ses.errors import NoAnswer, NotSent
from libs.common.relay.ses.exchange import Exchange, Stale, exchange
from libs.common.relay.ses.settings import SesSettings

log = logging.getLogger(__name__)

ANSWER_LIMIT = 1 << 20
"""Octets of the longest answer that is read; SES' are a few hundred."""
_SLOWEST = 64 * 1024
"""Octets a second that a message is expected to travel at least; a longer one has longer to be answered."""
_IDLE_SECONDS = 12.0  # as aiobotocore: shorter than AWS keeps a connection, so that few are closed under our hands
_FLOOR = 0.25  # seconds: a closed port must not be told from a refused address by how soon it is said
_UNREACHABLE = (
    "Check the provider's region or endpoint, and that this machine may reach it. Some addresses are never connected "
    "to, whoever asks."
)


_clock: ContextVar[tuple[asyncio.Timeout, float]] = ContextVar("clock")
"""What limits the request that this task makes, and the seconds it has once it is out."""


class _Request(aiohttp.ClientRequest):
    """Asks before it writes: this is the last step before the wire, with a connection in hand."""

    async def send(self, conn: Any) -> aiohttp.ClientResponse:
        clock, patience = _clock.get()
        if clock.expired():
            await asyncio.sleep(0)  # in the moment the connection came; here the cancellation strikes
        clock.reschedule(None)
        await exchange.get().ready(lambda: conn.protocol is not None and conn.protocol.is_connected())
        clock.reschedule(asyncio.get_running_loop().time() + patience)
        return await super().send(conn)


@dataclass(frozen=True, slots=True)
class Wire:
    """Where requests may go and how long they may take."""

    policy: OutboundPolicy
    settings: SesSettings

    def __call__(self, **_ours: Any) -> "Transport":
        """As aiobotocore calls its session class; what it derives from its own configuration is not wanted."""
        return Transport(self)


class _Resolver(AbstractResolver):
    """Names to checked addresses, resolved once for each new connection."""

    def __init__(self, policy: OutboundPolicy) -> None:
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        del family
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET if address.version == 4 else socket.AF_INET6,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await permitted_addresses(host, port, policy=self._policy)
        ]

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class _Body:
    octets: bytes

    async def read(self) -> bytes:
        return self.octets


@dataclass(slots=True)
class Transport:
    """aiobotocore's HTTP session, ours. Raises `NotSent` and `NoAnswer` instead of botocore's errors."""

    wire: Wire
    _session: aiohttp.ClientSession | None = field(default=None, repr=False)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(
            limit=self.wire.settings.max_connections,
            resolver=_Resolver(self.wire.policy),
            use_dns_cache=False,
            keepalive_timeout=_IDLE_SECONDS,
            socket_factory=_kept_alive,
            ssl=_trusting(self.wire.settings.ca_file),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
            request_class=_Request,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("Content-Type",),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    async def send(self, request: Any) -> AioAWSResponse:
        """One request, one answer; redirects are answers."""
        body = request.body or b""
        parts = urlsplit(request.url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        patience = self.wire.settings.read_timeout + len(body) / _SLOWEST
        began = time.monotonic()
        state = exchange.get()
        # Each kept connection may turn out to be closed; a new one cannot.
        for _ in range(self.wire.settings.max_connections + 1):
            try:
                await self._check_literal(host, port)
                async with asyncio.timeout(self.wire.settings.connect_timeout) as clock:
                    _clock.set((clock, patience))
                    return await self._exchanged(request, body, state)
            except Stale:
                continue
            except (OutboundRefused, aiohttp.ClientError, OSError, ValueError) as error:
                if state.begun:
                    raise NoAnswer(_seen(error, patience)) from None
                failure = error
                break
        else:
            failure = ConnectionResetError("every kept connection was closed")
        raise await _not_sent(failure, clean(f"{host}:{port}"), began)

    async def _exchanged(self, request: Any, body: bytes, state: Exchange) -> AioAWSResponse:
        if self._session is None:
            raise RuntimeError("the transport was not entered")
        headers = {name: _text(value) for name, value in request.headers.items()} | {"Accept-Encoding": "identity"}
        # As a file, a long message is written piece by piece and not in one go that would hold the loop.
        async with self._session.request(
            request.method,
            URL(request.url, encoded=True),
            data=io.BytesIO(body) if body else None,
            headers=headers,
            allow_redirects=False,
        ) as response:
            state.status = response.status
            octets = bytearray()
            async for piece in response.content.iter_any():
                octets += piece
                if len(octets) > ANSWER_LIMIT:
                    raise ValueError("the answer is longer than any of SES'")
        return AioAWSResponse(request.url, response.status, _headers(response), _Body(bytes(octets)))

    async def _check_literal(self, host: str, port: int) -> None:
        """An address spelled out is never resolved, so the resolver does not see it."""
        if literal(host) is not None:
            await permitted_addresses(host, port, policy=self.wire.policy)


def _trusting(ca_file: str | None) -> ssl.SSLContext | Literal[True]:
    """The system's authorities, and these."""
    if ca_file is None:
        return True
    context = ssl.create_default_context()
    context.load_verify_locations(ca_file)
    return context


def _kept_alive(address: Any) -> socket.socket:
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def _headers(response: aiohttp.ClientResponse) -> Mapping[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.raw_headers}


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _seen(error: Exception, patience: float) -> str:
    """Why there is no usable answer to a request that was out."""
    if isinstance(error, TimeoutError):
        return f"no answer within {patience:.0f} seconds after the message was sent"
    if isinstance(error, ValueError | aiohttp.ClientPayloadError | aiohttp.ClientResponseError):
        return "the answer after the message was sent cannot be read"
    return "the connection was lost after the message was sent"


async def _not_sent(error: Exception, where: str, began: float) -> NotSent:
    """Nothing had been written. TLS is told apart; the rest sounds alike, and the log says which it was."""
    if isinstance(error, aiohttp.ClientSSLError):
        certificate = isinstance(error, aiohttp.ClientConnectorCertificateError)
        words = "its certificate is not valid" if certificate else "it does not speak TLS as it should"
        log.warning("%s: %s", where, error)
        return NotSent(f"{where} cannot be trusted: {words}", kind="configuration")
    log.warning("%s was not connected to: %s", where, str(error) or type(error).__name__)
    await asyncio.sleep(began + _FLOOR - time.monotonic())
    return NotSent(f"{where} cannot be connected to", suggestion=_UNREACHABLE)
