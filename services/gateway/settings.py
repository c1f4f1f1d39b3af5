"""Settings of the gateway."""

from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from libs.common.mime import parse_address
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


def _address(value: object) -> object:
    if isinstance(value, str):
        try:
            mailbox = parse_address(value)
        except ValueError as error:
            raise ValueError(f"must be an email address like admin@example.com: {error}") from None
        if mailbox.address != value.strip() and mailbox.name is not None:
            raise ValueError("must be an email address alone, without a name")
        return value.strip()
    return value


Networks = tuple[IPv4Network | IPv6Network, ...]
ServiceUrl = Annotated[str, BeforeValidator(_http_url)]


class GatewaySettings(Settings):
    """Where the services are, who may call, and how often."""

    providers_url: ServiceUrl
    """Base URL of the providers service."""
    sender_url: ServiceUrl
    """Base URL of the sender's HTTP side."""
    tracking_url: ServiceUrl
    """Base URL of the tracking service."""
    analytics_url: ServiceUrl
    """Base URL of the analytics service."""
    local_inbox_url: ServiceUrl | None = None
    """Base URL of the bundled inbox; unset where there is none."""
    session_key_file: Path
    """File of the key that signs session cookies."""
    keyring_file: Path
    """File of the key ring that stored secrets are encrypted with (the gateway has a ring of its own)."""
    bootstrap_key_file: Path | None = None
    """File of the first API key, which is registered at the first start."""
    bootstrap_password_file: Path | None = None
    """File of the first user's password, who is created at the first start."""
    admin_email: Annotated[str, BeforeValidator(_address)] = "admin@temps.localhost"
    """Email address of the first user; read at the first start only."""
    trusted_proxies: Annotated[Networks, BeforeValidator(_networks)] = ()
    """Networks of the proxies before the gateway, separated by commas, whose `X-Forwarded-*` headers are believed."""
    rate_limit_per_second: float | None = Field(default=None, gt=0)
    """Requests per second that one API key may make; unset is no limit."""
    upstream_timeout: float = Field(default=30.0, gt=0)
    """Seconds that a service may take to begin its answer or go on with it."""
    body_timeout: float = Field(default=15.0, gt=0)
    """Seconds that a client may pause while it sends its body."""
