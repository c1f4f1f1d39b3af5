"""From a host name to a connected socket, by way of the checked addresses and no other.

Whoever may name a host must not learn what is open where: a refusal of ours, a closed port and a name that leads
nowhere get the same answer after the same time. Only the log says which it was.
"""

import asyncio
import contextlib
import logging
import os
import socket
import time
from dataclasses import dataclass, field

from libs.common.relay.host_name import is_full_name
from libs.common.relay.outbound import Address, OutboundPolicy, OutboundRefused, Resolver, permitted_addresses
from libs.common.relay.port import Trouble
from libs.common.relay.redact import redact

log = logging.getLogger(__name__)

FLOOR = 0.25
"""Seconds that every failed dial takes at least: longer than a closed port in the next network takes to say so."""
SUGGESTION = (
    "Nothing listens there, the name leads nowhere, or the operator's TEMPS_OUTBOUND_POLICY or TEMPS_SMTP_PORTS does "
    "not allow this address or port. If Temps runs in a container, localhost is that container: use the relay's "
    "service name, or host.docker.internal for a relay on the machine itself."
)
_NAME_SECONDS = 2.0
_own_name: list[str] = []
_SAID_AGAIN_AFTER = 60.0
_SAID_LIMIT = 1000


class CannotConnect(Exception):
    """There is no session; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.kind)
        self.trouble = trouble


@dataclass(slots=True)
class Seldom:
    """Warnings that would come with every message of a queue: each is said once a minute."""

    _said: dict[tuple[str, str], float] = field(default_factory=dict)

    def warn(self, where: str, why: str) -> None:
        """Log it, unless it was said within the last minute."""
        now = time.monotonic()
        if now - self._said.get((where, why), -_SAID_AGAIN_AFTER) < _SAID_AGAIN_AFTER:
            return
        if len(self._said) >= _SAID_LIMIT:
            self._said.clear()
        self._said[where, why] = now
        log.warning("%s was not connected to: %s", where, why)


_failures = Seldom()


async def dial(
    host: str, port: int, *, policy: OutboundPolicy, resolver: Resolver, timeout: float
) -> tuple[socket.socket, Address]:
    """A socket to the first permitted address that answers; resolving has `timeout`, all addresses share another.

    Raises `CannotConnect`, after `FLOOR` seconds at the earliest.
    """
    began = time.monotonic()
    where = redact(f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}")
    try:
        async with asyncio.timeout(timeout):
            addresses = await permitted_addresses(host, port, policy=policy, resolver=resolver)
        return await _first(addresses, port, timeout)
    except OutboundRefused as refused:
        _failures.warn(where, f"not allowed: {refused}")
    except (OSError, ValueError) as error:  # ValueError: what IDNA cannot encode
        _failures.warn(where, redact(_words(error)))
    await asyncio.sleep(began + FLOOR - time.monotonic())
    raise CannotConnect(Trouble("connection", f"{where} cannot be connected to", suggestion=SUGGESTION))


def address_literal(sock: socket.socket) -> str:
    """Our end of the connection as EHLO wants it from hosts without a name (RFC 5321 section 4.1.3)."""
    address = sock.getsockname()[0].partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


async def own_name() -> str | None:
    """This machine's full name, None if it has none; looked up once, and for no longer than the name server takes."""
    if not _own_name:
        try:
            async with asyncio.timeout(_NAME_SECONDS):
                _own_name.append(await asyncio.to_thread(socket.getfqdn))
        except TimeoutError:
            _own_name.append("")
    return _own_name[0] if is_full_name(_own_name[0]) else None


async def _first(addresses: tuple[Address, ...], port: int, timeout: float) -> tuple[socket.socket, Address]:
    """Raises the last address's `OSError` (`TimeoutError` is one)."""
    *others, last = addresses
    share = timeout / len(addresses)
    for address in others:
        with contextlib.suppress(OSError):
            async with asyncio.timeout(share):
                return await _connect(address, port), address
    async with asyncio.timeout(share):
        return await _connect(last, port), last


async def _connect(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    done = False
    try:
        sock.setblocking(False)  # noqa: FBT003 - the library's own argument
        # Content and final dot are two writes: without this the dot would wait for the content's ack.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
        done = True
    finally:
        if not done:
            sock.close()
    return sock


def _words(error: OSError | ValueError) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    code = getattr(error, "errno", None)
    # A resolver's codes are its own, and negative; an event loop's text says less than the system's.
    return os.strerror(code) if code and code > 0 else str(getattr(error, "strerror", None) or error)
