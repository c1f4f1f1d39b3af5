"""Requests on kept connections, to checked addresses only, and known at each moment to be begun or not.

aiohttp carries them: it follows no redirect here, reads no proxy from the environment and repeats nothing that could
send twice (only idempotent methods, aiohttp 3.14 `client.py`). Imported when a provider is first called, not before:
aiohttp costs 15 MB.
"""

import asyncio
import io
import logging
import socket
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from libs.common.relay.http.gate import GATE, Gate, GatedConnector, Stopped
from libs.common.relay.http.messages import Abandoned, HttpAnswer, HttpRequest, HttpSettings, NoAnswer, NotSent
from libs.common.relay.outbound import (
    Address,
    OutboundPolicy,
    OutboundRefused,
    addresses_of,
    literal,
    permitted_addresses,
)
from libs.common.relay.port import BeforeDot
from libs.common.relay.redact import redact

log = logging.getLogger(__name__)

_LONGEST_ANSWER = 1 << 20
"""Octets; ten recipients or a hundred domains need a tenth of it."""
_SLOWEST = 64 * 1024
"""Octets a second that a request is expected to travel at least; a longer one has longer to be answered."""
_IDLE_SECONDS = 12.0
"""As aiobotocore: shorter than AWS keeps a connection, so that few are closed under our hands."""
_FLOOR = 0.25
"""Seconds: a closed port must not be told from a refused address by how soon it is said."""


def open_session(settings: HttpSettings, policy: OutboundPolicy | None) -> "Session":
    """A session without connections. `policy` restricts where it connects; None if the operator chose the host."""
    connector = GatedConnector(
        limit=settings.max_connections,
        resolver=_Resolver(policy),
        use_dns_cache=False,
        keepalive_timeout=_IDLE_SECONDS,
        socket_factory=_kept_alive,
        ssl=_trusting(settings.ca_file),
    )
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),  # the gate's deadline is all
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=("Content-Type",),
    )
    return Session(settings, policy, session)


@dataclass(frozen=True, slots=True)
class Session:
    """Made by `open_session`."""

    settings: HttpSettings
    policy: OutboundPolicy | None
    _session: aiohttp.ClientSession = field(repr=False)

    async def exchange(self, request: HttpRequest, before_dot: BeforeDot | None) -> HttpAnswer:
        """One request, one answer. Raises `NotSent`, `NoAnswer`, `Abandoned`, and what `before_dot` raises."""
        began = time.monotonic()
        patience = self.settings.read_timeout + len(request.body or b"") / _SLOWEST
        deadline = asyncio.timeout(self.settings.connect_timeout)
        gate = Gate(before_dot, patience, deadline)
        token = GATE.set(gate)
        try:
            async with deadline:
                return await self._answer(request, gate)
        except Stopped:
            if gate.raised is not None:
                raise gate.raised from None
            raise Abandoned from None
        except (OutboundRefused, aiohttp.ClientError, OSError, ValueError) as error:
            if gate.status >= 300:
                return HttpAnswer(gate.status, {}, b"")  # a refusal whose words were cut off is still a refusal
            if gate.begun:
                raise NoAnswer(_seen(error, patience)) from None
            failure = error
        finally:
            GATE.reset(token)
        raise await _not_sent(failure, _where(request.url), began)

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def _answer(self, request: HttpRequest, gate: Gate) -> HttpAnswer:
        host, port = _host_and_port(request.url)
        if literal(host) is not None:
            await _addresses(host, port, self.policy)  # an address spelled out is not resolved: no resolver checks it
        # As a file, a long body is written piece by piece and not in one go that would hold the loop.
        async with self._session.request(
            request.method,
            URL(request.url, encoded=True),
            data=io.BytesIO(request.body) if request.body else None,
            headers={**request.headers, "Accept-Encoding": "identity"},
            allow_redirects=False,
        ) as response:
            gate.status = response.status
            octets = bytearray()
            async for piece in response.content.iter_any():
                octets += piece
                if len(octets) > _LONGEST_ANSWER:
                    raise ValueError("the answer is longer than any answer is")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.raw_headers}
        return HttpAnswer(response.status, headers, bytes(octets))


class _Resolver(AbstractResolver):
    """Names to addresses, each of them checked, resolved once for each new connection."""

    def __init__(self, policy: OutboundPolicy | None) -> None:
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
            for address in await _addresses(host, port, self._policy)
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def _addresses(host: str, port: int, policy: OutboundPolicy | None) -> tuple[Address, ...]:
    """Where it may be connected to. Raises `OutboundRefused`, `OSError` and `ValueError`."""
    if policy is None:
        return await addresses_of(host, port)
    return await permitted_addresses(host, port, policy=policy)


def _host_and_port(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _where(url: str) -> str:
    host, port = _host_and_port(url)
    return redact(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


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


def _seen(error: Exception, patience: float) -> str:
    """Why there is no usable answer to a request that was begun."""
    if isinstance(error, TimeoutError):
        return f"no answer within {patience:.0f} seconds after the request was sent"
    if isinstance(error, ValueError | aiohttp.ClientPayloadError | aiohttp.ClientResponseError):
        return "the answer cannot be read"
    return "the connection was lost after the request was sent"


async def _not_sent(error: Exception, where: str, began: float) -> NotSent:
    """TLS is told apart; all else sounds alike to the caller, and the log says which it was."""
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        certificate = isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.CertificateError)
        words = "its certificate is not valid" if certificate else "it does not speak TLS as it should"
        log.warning("%s: %s", where, redact(str(error)))
        return NotSent(f"{where} cannot be trusted: {words}", kind="configuration")
    log.warning("%s was not connected to: %s", where, redact(str(error)) or type(error).__name__)
    await asyncio.sleep(began + _FLOOR - time.monotonic())
    return NotSent(f"{where} cannot be connected to")
