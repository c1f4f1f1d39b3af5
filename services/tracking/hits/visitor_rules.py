"""Reduces a visitor's address and user agent to what the operator wants stored."""

import hashlib
import hmac
import ipaddress
from functools import lru_cache
from typing import Literal
from uuid import UUID

IpMode = Literal["full", "truncated", "hashed", "none"]

USER_AGENT_LIMIT = 512
_HASH_DIGITS = 32
_PREFIX = {4: 24, 6: 48}
"""Truncated addresses keep these many bits: a neighbourhood, no household."""


def kept_ip(ip: str | None, mode: IpMode, *, email_id: UUID, key: bytes) -> str | None:
    """The address as it is recorded.

    Hashed: keyed and per email, so that one email's unique visitors can still be counted and nothing else be told.
    """
    if ip is None or mode == "none":
        return None
    if mode == "full":
        return ip
    if mode == "hashed":
        return hmac.digest(key, email_id.bytes + ip.encode(), hashlib.sha256).hex()[:_HASH_DIGITS]
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return None
    plain = getattr(address, "ipv4_mapped", None) or address
    network = ipaddress.ip_network(f"{plain}/{_PREFIX[plain.version]}", strict=False)
    return str(network.network_address)


def kept_user_agent(user_agent: str | None) -> str | None:
    """The first 512 characters, without control characters."""
    if not user_agent:
        return None
    if not user_agent.isprintable():
        user_agent = "".join(character if character.isprintable() else " " for character in user_agent)
    return user_agent[:USER_AGENT_LIMIT]


@lru_cache(4_096)
def is_loopback(ip: str | None) -> bool:
    """True if the visitor is on this machine."""
    try:
        address = ipaddress.ip_address((ip or "").partition("%")[0])
    except ValueError:
        return False
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)
