"""Where we may connect to: a host from a user is resolved once, checked, and reached by the checked address.

Against server-side request forgery, DNS rebinding included: whoever may create a provider must not reach a
cloud's metadata or our own servers. Private networks and loopback stay open, for a relay there is a feature.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolver = Callable[[str, int], Awaitable[tuple[str, ...]]]

_REFUSED = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",  # "this network" (RFC 1122 section 3.2.1.3); Linux connects it to loopback
        "169.254.0.0/16",  # link-local, the clouds' metadata among it (RFC 3927)
        "224.0.0.0/4",  # multicast (RFC 5771)
        "255.255.255.255/32",  # broadcast
        "100.100.100.200/32",  # Alibaba Cloud's metadata
        "::/128",  # unspecified
        "fe80::/10",  # link-local (RFC 4291)
        "ff00::/8",  # multicast
        "fd00:ec2::254/128",  # AWS's metadata
        "fd20:ce::254/128",  # Google Cloud's metadata
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052


class OutboundRefused(Exception):
    """The host leads to an address that is never connected to."""


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """`own_ports`: ports of this machine that are our own servers (NATS, Postgres, internal HTTP)."""

    own_ports: frozenset[int] = frozenset()

    def permits(self, address: Address, port: int) -> bool:
        """Neither in an always-refused range, however it is written, nor one of our own servers."""
        plain = unwrapped(address)
        if any(plain.version == network.version and plain in network for network in _REFUSED):
            return False
        return not (plain.is_loopback and port in self.own_ports)


def unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64), so that it cannot hide there."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def literal(host: str) -> Address | None:
    """The address that `host` spells (brackets allowed), None when it is a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


async def resolve(host: str, port: int) -> tuple[str, ...]:
    """The host's addresses in the system's order of preference. Raises `socket.gaierror`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


async def permitted_addresses(
    host: str, port: int, *, policy: OutboundPolicy, resolver: Resolver = resolve
) -> tuple[Address, ...]:
    """Every address of `host`, each of them permitted: connect to these and never to the name.

    One refused address refuses the host, or an attacker's second record would be tried after the first.
    Raises `OutboundRefused` and `socket.gaierror`.
    """
    spelled = literal(host)
    names = (str(spelled),) if spelled else await resolver(host, port)
    addresses = tuple(ipaddress.ip_address(name.partition("%")[0]) for name in names)
    if not addresses or not all(policy.permits(address, port) for address in addresses):
        raise OutboundRefused(host)
    return addresses
