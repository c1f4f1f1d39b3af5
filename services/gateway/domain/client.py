"""Who is at the other end of the wire, and whether a request came from our own pages."""

from collections.abc import Sequence
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
        before = _address(hops.pop().decode("latin-1").strip())
        if before is None:
            break
        address = before
    return str(address)


def user_agent_of(value: bytes | None) -> str | None:
    """At most 512 characters; None when there is none."""
    return value.decode("utf-8", "replace")[:MAX_USER_AGENT] if value else None


def is_unsafe(method: str) -> bool:
    """Whether the method may change something (RFC 9110 section 9.2.1)."""
    return method in _UNSAFE


def is_same_site(*, origin: bytes | None, fetch_site: bytes | None, host: bytes | None, public_host: str) -> bool:
    """Whether a browser says that one of our own pages made this request.

    `Sec-Fetch-Site: same-origin`, or an `Origin` whose host and port are those of the request (or, behind a proxy that
    rewrites Host, of the public URL).
    """
    if origin is not None:
        authority = urlsplit(origin.decode("latin-1")).netloc.lower()
        ours = {public_host.lower(), (host or b"").decode("latin-1").lower()} - {""}
        return authority in ours
    return fetch_site == b"same-origin"


@lru_cache(maxsize=4_096)
def _address(text: str | None) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
