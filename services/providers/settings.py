"""Settings of the providers service."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

from libs.common.relay.outbound import literal
from libs.common.settings import RelaySettings

_DNS_PORT = 53


@dataclass(frozen=True, slots=True)
class NameServer:
    """Where DNS is asked; `address` is IPv4 or IPv6, without brackets."""

    address: str
    port: int


def _name_server(value: object) -> object:
    """`ip:port`, `[ip]:port` or `ip`."""
    if not isinstance(value, str):
        return value
    host, _, port = value.rpartition(":")
    for address, number in ((value, str(_DNS_PORT)), (host, port)):
        spelled = literal(address)
        if spelled is not None and number.isdecimal() and 0 < int(number) <= 65_535:
            return NameServer(str(spelled), int(number))
    raise ValueError("must look like 192.0.2.1:53 or [2001:db8::1]:53")


class ProvidersSettings(RelaySettings):
    """Settings beyond the common ones."""

    dns_resolver: Annotated[NameServer | None, BeforeValidator(_name_server)] = None
    """`ip:port` of the name server that sending domains are checked with; unset asks the system's."""
