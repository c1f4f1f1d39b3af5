"""Finds the client's address behind proxies, and tells requests of our own pages from others."""

from collections.abc import Collection, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

Networks = Sequence[IPv4Network | IPv6Network]

MAX_USER_AGENT = 512
_UNSAFE = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def client_ip(peer: str | None, forwarded: Sequence[bytes], trusted: Networks) -> str | None:
    """The right-most address that is none of our proxies'.

    `forwarded` are the values of X-Forwarded-For in order. Whatever stands left of the first address that no trusted
    proxy added can be made up by the caller; something that is no address ends the search at the last one known.
    """
    address = _address(peer)
    if address is None:
        return peer
    if not trusted or not forwarded:
        return str(address)
    hops = b",".join(forwarded).split(b",")
    while hops and any(address in network for network in trusted):
        before = _address(_without_port(hops.pop().decode("latin-1").strip()))
        if before is None:
            break
        address = before
    return str(address)


def user_agent_of(value: bytes | None) -> str | None:
    """At most 512 characters; None when there is none."""
    return value.decode("utf-8", "replace")[:MAX_USER_AGENT] if value else None


def is_unsafe(method: str) -> bool:
    """True if the method is not safe (RFC 9110 section 9.2.1)."""
    return method in _UNSAFE


def is_same_site(*, origin: bytes | None, fetch_site: bytes | None, own_origins: Collection[str]) -> bool:
    """True if the browser states that one of our own pages made this request.

    `Sec-Fetch-Site: same-origin`, or an `Origin` (RFC 6454 section 6.2) that is one of ours, scheme and port included.
    """
    if origin is not None:
        return _normal_origin(origin.decode("latin-1")) in own_origins
    return fetch_site == b"same-origin"


def own_origins(*, scheme: str, host: bytes | None, public_url: str) -> frozenset[str]:
    """The origins under which a browser may know this site: the requested one, and the public URL's.

    `scheme` is how the client reached us, or the proxy that we trust.
    """
    asked = f"{scheme}://{host.decode('latin-1')}" if host else ""
    return frozenset(filter(None, (_normal_origin(asked), _normal_origin(public_url))))


def scheme_of(connection: str, forwarded: Sequence[bytes], *, is_trusted: bool) -> str:
    """`http` or `https`: what the nearest proxy says in X-Forwarded-Proto, if it is one of ours."""
    if is_trusted and forwarded:
        said = forwarded[-1].rpartition(b",")[2].strip().lower()
        if said in (b"http", b"https"):
            return said.decode()
    return connection


def is_trusted_peer(peer: str | None, trusted: Networks) -> bool:
    """True if the connection comes from a trusted proxy."""
    address = _address(peer)
    return address is not None and any(address in network for network in trusted)


_DEFAULT_PORTS = {"http": 80, "https": 443}


def _normal_origin(url: str) -> str:
    """Scheme, host and port in one spelling; empty for what has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.hostname}:{port}" if parts.scheme in _DEFAULT_PORTS and parts.hostname else ""


def _without_port(hop: str) -> str:
    """`192.0.2.1:5678` and `[2001:db8::1]:443`, as some proxies write them, are addresses all the same."""
    hop = hop.strip('"')
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


@lru_cache(maxsize=4_096)
def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
