"""Where we may connect to: a host from a user is resolved once, checked, and reached by the checked address.

Against server-side request forgery, DNS rebinding included: whoever may create a provider must not reach a
cloud's metadata or our own servers. Private networks and loopback stay open unless the operator closes them, for a
relay there is a feature.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from libs.common.relay.inbox import is_local_inbox

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
        "168.63.129.16/32",  # Azure's platform channel, a public address that never leaves the host
        "::/128",  # unspecified
        "fe80::/10",  # link-local (RFC 4291)
        "ff00::/8",  # multicast
        "fd00:ec2::254/128",  # AWS's metadata
        "fd20:ce::254/128",  # Google Cloud's metadata
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # an IPv4 address in its last 32 bits, RFC 4291 section 2.5.5.1
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that IANA has given out; `is_global` knows the exceptions


class OutboundRefused(Exception):
    """This is never connected to; the argument says why, for the operator and nobody else."""


@dataclass(frozen=True, slots=True)
class OutboundPolicy:
    """Where users' providers may connect to. `ports`: only these; empty is any.

    `own_ports`: ports of this machine that are our own servers (NATS, Postgres, internal HTTP). `own_servers`: host
    and port of those that may be on other machines. `inbox`: `host:port` of the bundled inbox, to which nothing of
    all this applies. `allow_private`: whether addresses that are not public may be connected to.
    """

    own_ports: frozenset[int] = frozenset()
    own_servers: frozenset[tuple[str, int]] = frozenset()
    allow_private: bool = True
    ports: frozenset[int] = frozenset()
    inbox: str | None = None

    def permits(self, address: Address, port: int) -> bool:
        """True if the address may be connected to, in whatever form it is written."""
        return self.refusal(address, port) is None

    def refusal(self, address: Address, port: int) -> str | None:
        """The reason against a connection; None if it is permitted."""
        plain = unwrapped(address)
        if any(plain.version == network.version and plain in network for network in _REFUSED):
            return f"{plain} is in a range that is never connected to"
        if self.ports and port not in self.ports:
            return f"port {port} is not one of TEMPS_SMTP_PORTS"
        if not self.allow_private and not is_public(plain):
            return f"{plain} is not a public address, and TEMPS_OUTBOUND_POLICY is public"
        if port in self.own_ports and (_is_of_this_machine(plain) or _is_of_this_machine(address)):
            return f"port {port} of this machine is one of our own servers"
        return None


def unwrapped(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, compatible, 6to4, Teredo, NAT64), so that it cannot hide there."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def is_public(address: Address) -> bool:
    """Reachable by everybody: no loopback, private (RFC 1918, RFC 4193), carrier's (RFC 6598) or reserved range."""
    return address.is_global and (address.version == 4 or address in _GLOBAL_UNICAST)


def literal(host: str) -> Address | None:
    """The address that `host` spells (brackets allowed), None when it is a name."""
    try:
        return ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def is_loopback_name(host: str) -> bool:
    """`localhost`, or an address that is loopback as written."""
    spelled = literal(host)
    return unwrapped(spelled).is_loopback if spelled else host.lower().rstrip(".") == "localhost"


@dataclass(slots=True, eq=False)
class SharedLookups:
    """A resolver in which everybody who asks for a host while it is being looked up gets the same answer.

    The system's resolver has few threads (uvloop's: 4) and a lookup given up goes on in its own: ten connections to a
    relay whose name server is dead would otherwise hold up every other name.
    """

    lookup: Resolver
    _under_way: dict[str, asyncio.Task[tuple[str, ...]]] = field(default_factory=dict)

    async def __call__(self, host: str, port: int) -> tuple[str, ...]:
        """As `lookup`, and what it raises."""
        task = self._under_way.get(host)
        if task is None or task.done() or task.get_loop() is not asyncio.get_running_loop():
            task = self._under_way[host] = asyncio.ensure_future(self._look_up(host, port))
            task.add_done_callback(self._done)
        return await asyncio.shield(task)

    async def _look_up(self, host: str, port: int) -> tuple[str, ...]:
        try:
            return await self.lookup(host, port)
        finally:
            if self._under_way.get(host) is asyncio.current_task():
                del self._under_way[host]

    @staticmethod
    def _done(task: asyncio.Task[tuple[str, ...]]) -> None:
        if not task.cancelled():
            task.exception()  # everybody may have given it up


async def _system(host: str, port: int) -> tuple[str, ...]:
    """The host's addresses in the system's order of preference. Raises `socket.gaierror`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


resolve = SharedLookups(_system)
"""The system's resolver."""


async def permitted_addresses(
    host: str, port: int, *, policy: OutboundPolicy, resolver: Resolver = resolve
) -> tuple[Address, ...]:
    """Every address of `host`, each of them permitted: connect to these and never to the name.

    One refused address refuses the host, or an attacker's second record would be tried after the first.
    Raises `OutboundRefused`, `OSError` and `ValueError` (a name that cannot be one).
    """
    addresses = await addresses_of(host, port, resolver)
    if is_local_inbox(host, port, policy.inbox):
        return addresses
    for address in addresses:
        why = policy.refusal(address, port)
        if why is not None:
            raise OutboundRefused(why)
    plain = {unwrapped(address) for address in addresses}
    for own, own_port in policy.own_servers:
        if port == own_port and not plain.isdisjoint(map(unwrapped, await _known_addresses(own, port, resolver))):
            raise OutboundRefused(f"it is {own}:{port}, one of our own servers")
    return addresses


async def addresses_of(host: str, port: int, resolver: Resolver = resolve) -> tuple[Address, ...]:
    """Every address of `host`, whatever it is; at least one. Raises `OSError` and `ValueError`."""
    spelled = literal(host)
    names = (str(spelled),) if spelled else await resolver(host, port)
    if not names:
        raise OSError("the name has no address")
    return tuple(ipaddress.ip_address(name.partition("%")[0]) for name in names)


async def _known_addresses(host: str, port: int, resolver: Resolver) -> tuple[Address, ...]:
    try:
        return await addresses_of(host, port, resolver)
    except (OSError, ValueError):
        return ()  # nor can anybody reach it by this name


def _is_of_this_machine(address: Address) -> bool:
    """True if it is an address of this machine or container: only those can be bound to.

    Nothing is sent and no port is kept. Where the kernel lets everything be bound to (`ip_nonlocal_bind`), every
    address counts as ours: then `own_ports` are refused everywhere.
    """
    if address.is_loopback:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
