"""Which provider is the bundled inbox: mail that it takes was captured, not sent.

Told by host and port alone, so that nobody can declare another relay to be the inbox, or the inbox to be none. The same
answer exempts it from the outbound policy (`outbound.py`).
"""

import ipaddress


def is_local_inbox(host: str, port: int, inbox: str | None) -> bool:
    """True if `host` and `port` are those of `inbox` (`host:port`, IPv6 in brackets; None: no inbox)."""
    if not inbox:
        return False
    inbox_host, _, inbox_port = inbox.rpartition(":")
    return inbox_port == str(port) and _canonical(host) == _canonical(inbox_host)


def _canonical(host: str) -> str:
    """Lower case, without brackets and root dot; every name of this machine's loopback is `localhost`."""
    name = host.strip().removeprefix("[").removesuffix("]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    plain = getattr(address, "ipv4_mapped", None) or address
    return "localhost" if plain.is_loopback else str(plain)
