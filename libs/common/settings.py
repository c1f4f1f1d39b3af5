"""Settings: environment variables read once into a frozen model that reports every missing one at once."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from libs.common.known_settings import PREFIX, unknown_settings

_LAST_PORT = 65535


def _ports(value: object) -> object:
    """`25,465` as it stands in an environment variable."""
    if not isinstance(value, str):
        return value
    ports = [part.strip() for part in value.split(",") if part.strip()]
    if not all(port.isascii() and port.isdigit() and 1 <= int(port) <= _LAST_PORT for port in ports):
        raise ValueError("must be ports, separated by commas, like 25,465,587")
    return ports


def _base_url(value: object) -> object:
    """What paths are put behind: with a query or a fragment, or without a host, every link made of it leads nowhere."""
    if not isinstance(value, str):
        return value
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is none; its text may quote what was given
        usable = False
    if not usable or "?" in value or "#" in value or not value.isprintable() or " " in value:
        raise ValueError("must be a URL like https://mail.example.com, without query and fragment")
    return value


Ports = Annotated[frozenset[Annotated[int, Field(ge=1, le=_LAST_PORT)]], BeforeValidator(_ports)]
BaseUrl = Annotated[str, BeforeValidator(_base_url)]


class Settings(BaseModel):
    """Settings of every process. A field `http_port` is read from `TEMPS_HTTP_PORT`.

    The docstring below a field is its line in the README's table of settings.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True, use_attribute_docstrings=True)

    http_host: str = "127.0.0.1"
    """Address that the service listens on; `0.0.0.0` in containers. `make up` gives it to the gateway alone."""
    http_port: int = 0
    """Port of the service's HTTP API; 0 takes a free one."""
    internal_port: int = 0
    """Port of health and metrics where they have one of their own (gateway, worker); 0 takes a free one."""
    nats_url: Annotated[str, Field(repr=False)]  # it may hold a password
    """NATS servers, separated by commas: `nats://user:password@host:4222`."""
    nats_monitor_url: str | None = None
    """Base URL of the NATS server's monitoring port, which tells when the server started."""
    nats_replicas: int = 1
    """Copies of each stream in a NATS cluster."""
    principal_key_file: Path
    """File of the key that signs who is calling, from the gateway to the services."""
    public_url: BaseUrl = "http://localhost:8080"
    """Base of tracking links and pixels: the gateway's address as recipients reach it."""
    brand: str = "Temps"
    """Name of the product in pages and test emails."""


class RelaySettings(Settings):
    """Settings of the processes that connect to providers."""

    keyring_file: Path
    """File of the key ring that stored secrets are encrypted with (the gateway has a ring of its own)."""
    local_inbox_smtp: str | None = None
    """`host:port` of the bundled inbox; unset where there is none."""
    allow_custom_endpoints: bool = False
    """Lets `ses_credentials.endpoint_url` name another server than AWS."""
    scaleway_api_url: BaseUrl = "https://api.scaleway.com"
    """Base URL of Scaleway's API."""
    outbound_policy: Literal["allow_private", "public"] = "allow_private"
    """`public` refuses relays on this machine and in private networks. Link-local and metadata addresses and our own
    ports are refused either way."""
    smtp_ports: Ports = frozenset()
    """Ports that an SMTP provider may have, for instance `25,465,587`; unset allows any."""
    own_ports: Ports = frozenset()
    """Ports of this machine that are our own servers, so that no provider may name them."""


def own_ports(settings: Settings) -> frozenset[int]:
    """Ports of this machine that are our own servers: no relay is there, whatever a provider says."""
    ports = {port for _, port in own_servers(settings)} | {settings.http_port, settings.internal_port}
    ports.add(urlsplit(settings.public_url).port or 0)
    if isinstance(settings, RelaySettings):
        ports |= settings.own_ports
    return frozenset(port for port in ports if port)


def own_servers(settings: Settings) -> frozenset[tuple[str, int]]:
    """Host and port of our own servers as the settings name them; in containers they are on other machines."""
    named = [(url, 4222) for url in settings.nats_url.split(",")] + [(settings.nats_monitor_url or "", 8222)]
    parts = [(urlsplit(url.strip()), default) for url, default in named]
    return frozenset((part.hostname, part.port or default) for part, default in parts if part.hostname)


AnySettings = TypeVar("AnySettings", bound=BaseModel)


class SettingsError(SystemExit):
    """Names every variable that is missing or wrong; ends the process with status 2."""

    def __init__(self, problems: list[str]) -> None:
        """`problems` are lines for a person."""
        super().__init__(2)
        self.problems = problems


def load(model: type[AnySettings], environment: Mapping[str, str] | None = None) -> AnySettings:
    """Read `model` from the environment. Raises `SettingsError` after printing every problem."""
    source = os.environ if environment is None else environment
    for sentence in unknown_settings(source):
        print(f"warning: {sentence}", file=sys.stderr)  # noqa: T201 - logging is configured from the settings
    names = {name: f"{PREFIX}{name.upper()}" for name in model.model_fields}
    given = {name: source[variable] for name, variable in names.items() if source.get(variable)}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = [
            f"{names.get(str(item['loc'][0]), str(item['loc']))}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_input=False)
        ]
    for problem in problems:
        print(f"setting {problem}", file=sys.stderr)  # noqa: T201 - logging is configured from the settings
    raise SettingsError(problems)
