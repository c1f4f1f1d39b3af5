"""What the gateway reads from its environment."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from libs.common.settings import Settings


def _networks(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())


def _http_url(value: object) -> object:
    if isinstance(value, str):
        parts = urlsplit(value)
        if parts.scheme != "http" or not parts.hostname or parts.path.strip("/"):
            raise ValueError("must look like http://host:port")
    return value


Networks = tuple[IPv4Network | IPv6Network, ...]
ServiceUrl = Annotated[str, BeforeValidator(_http_url)]


class GatewaySettings(Settings):
    """`trusted_proxies` are networks, separated by commas; `rate_limit_per_second` is per key, None is off."""

    providers_url: ServiceUrl
    sender_url: ServiceUrl
    tracking_url: ServiceUrl
    analytics_url: ServiceUrl
    local_inbox_url: ServiceUrl | None = None
    session_key_file: Path
    keyring_file: Path
    bootstrap_key_file: Path | None = None
    bootstrap_password_file: Path | None = None
    admin_email: str = "admin@temps.localhost"
    trusted_proxies: Annotated[Networks, BeforeValidator(_networks)] = ()
    rate_limit_per_second: float | None = Field(default=None, gt=0)
    upstream_timeout: float = Field(default=30.0, gt=0)
    body_timeout: float = Field(default=15.0, gt=0)
