"""From a host name to a connected socket, by way of the checked addresses and no other."""

import asyncio
import socket

from libs.common.relay.outbound import (
    Address,
    OutboundPolicy,
    OutboundRefused,
    Resolver,
    literal,
    permitted_addresses,
    unwrapped,
)
from libs.common.relay.port import Trouble

_IN_A_CONTAINER = (
    "Nothing listens there. If Temps runs in a container, localhost is that container: use the relay's "
    "service name, or host.docker.internal for a relay on the machine itself."
)


class CannotConnect(Exception):
    """There is no session; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.kind)
        self.trouble = trouble


async def dial(
    host: str, port: int, *, policy: OutboundPolicy, resolver: Resolver, timeout: float
) -> tuple[socket.socket, Address]:
    """A socket to the first permitted address that answers; all of them share `timeout`.

    Raises `CannotConnect`.
    """
    try:
        addresses = await permitted_addresses(host, port, policy=policy, resolver=resolver)
    except OutboundRefused:
        text = "address_not_allowed: mail is never sent to this host's address"
        raise CannotConnect(Trouble("configuration", text)) from None
    except (OSError, ValueError):  # ValueError: what IDNA cannot encode
        raise CannotConnect(Trouble("connection", f"the host name {host} cannot be resolved")) from None
    failure: OSError | None = None
    for address in addresses:
        try:
            async with asyncio.timeout(timeout / len(addresses)):
                return await _connect(address, port), address
        except OSError as error:
            failure = error
    raise CannotConnect(_unreachable(f"{host}:{port}", failure, addresses))


def is_loopback_name(host: str) -> bool:
    """`localhost`, or an address that is loopback as written."""
    spelled = literal(host)
    return unwrapped(spelled).is_loopback if spelled else host.lower().rstrip(".") == "localhost"


def address_literal(sock: socket.socket) -> str:
    """Our end of the connection as EHLO wants it from hosts without a name (RFC 5321 section 4.1.3)."""
    address = sock.getsockname()[0].partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


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


def _unreachable(where: str, failure: OSError | None, addresses: tuple[Address, ...]) -> Trouble:
    if isinstance(failure, TimeoutError):
        return Trouble("connection", f"{where} did not answer in time")
    if isinstance(failure, ConnectionRefusedError):
        local = all(unwrapped(address).is_loopback for address in addresses)
        suggestion = _IN_A_CONTAINER if local else None
        return Trouble("connection", f"{where} refused the connection", suggestion=suggestion)
    words = (failure.strerror if failure else None) or type(failure).__name__
    return Trouble("connection", f"{where} cannot be reached: {words}")
