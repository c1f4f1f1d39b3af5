"""Checks of relay host names and EHLO names, with an error sentence for each mistake."""

import ipaddress
import re

from libs.common.mime.addresses import normal_domain

_LONGEST, _LONGEST_LABEL = 253, 63  # RFC 1035 section 2.3.4
_WITH_PORT = re.compile(r"([^:\[\]]+|\[[^\[\]]+\]):(\d{1,5})")
_LABEL = re.compile(r"[\w-]+")
_LITERAL = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]", re.IGNORECASE)


def check_host(text: str) -> str:
    """A host name or an IP address to connect to; an IPv6 address with or without brackets.

    Raises:
        ValueError: with a sentence that says what to write.
    """
    host = text.strip()
    if not host:
        raise ValueError("must not be blank")
    if "://" in host:
        raise ValueError("is a URL: write the host name alone, like smtp.example.com")
    if named := _WITH_PORT.fullmatch(host):
        raise ValueError(f"holds a port: write {named[1]} here and {named[2]} as port")
    if host.startswith("[") != host.endswith("]"):
        raise ValueError("has one bracket only: write an IPv6 address like 2001:db8::1 or [2001:db8::1]")
    bare = host.removeprefix("[").removesuffix("]")
    if ":" in bare or bare != host:
        return _checked_ipv6(host, bare)
    if not bare.isascii() or not _is_ipv4(bare):
        _check_labels(bare)
    return host


def check_helo_name(text: str) -> str:
    """The EHLO name (RFC 5321 section 4.1.1.1): a host name, in lower-case ASCII, or an address literal.

    Raises:
        ValueError: with a sentence that says what to write.
    """
    name = text.strip()
    literal = _LITERAL.fullmatch(name)
    if literal:
        try:
            address = ipaddress.ip_address(literal[1])
        except ValueError:
            raise ValueError("is no address literal: write [192.0.2.1] or [IPv6:2001:db8::1]") from None
        return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"
    try:
        return normal_domain(name.removesuffix("."))
    except ValueError as error:
        raise ValueError(f"is no host name like mail.example.com: {error}") from None


def is_full_name(name: str) -> bool:
    """True if a machine's name is usable outside: fully qualified, and no placeholder such as localhost."""
    lower = name.lower().rstrip(".")
    try:
        normal_domain(lower)
    except ValueError:
        return False
    return "." in lower and not lower.endswith((".localdomain", ".local", ".localhost", ".arpa"))


def _checked_ipv6(host: str, bare: str) -> str:
    address, _, zone = bare.partition("%")
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        raise ValueError("is no host name and no IPv6 address like 2001:db8::1") from None
    if zone and not _LABEL.fullmatch(zone):
        raise ValueError("has no valid zone behind its '%'")
    return host


def _is_ipv4(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def _check_labels(host: str) -> None:
    labels = host.removesuffix(".").split(".")
    if "" in labels:
        raise ValueError("has two dots in a row or one at its beginning: write a name like smtp.example.com")
    try:
        ascii_name = host if host.isascii() else normal_domain(host.removesuffix("."))
    except ValueError as error:
        raise ValueError(f"is no host name like smtp.example.com: {error}") from None
    if len(ascii_name) > _LONGEST or any(len(label) > _LONGEST_LABEL for label in ascii_name.split(".")):
        raise ValueError(
            f"is longer than a host name may be ({_LONGEST} characters, {_LONGEST_LABEL} between two dots)"
        )
    if not all(_LABEL.fullmatch(label) and not label.startswith("-") and not label.endswith("-") for label in labels):
        raise ValueError("is no host name or address: write a name like smtp.example.com")
