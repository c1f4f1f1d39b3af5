"""Settings: environment variables read once into a frozen model that reports every missing one at once."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

PREFIX = "TEMPS_"
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
    """What every process needs. A field `http_port` is read from `TEMPS_HTTP_PORT`."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    http_host: str = "127.0.0.1"
    http_port: int = 0
    internal_port: int = 0
    nats_url: Annotated[str, Field(repr=False)]  # it may hold a password
    nats_monitor_url: str | None = None
    nats_replicas: int = 1
    principal_key_file: Path
    public_url: BaseUrl = "http://localhost:8080"
    brand: str = "Temps"


class RelaySettings(Settings):
    """What the processes that reach providers need besides.

    `local_inbox_smtp` is `host:port` of the bundled inbox, None where there is none. `smtp_ports`: an SMTP provider's
    port must be one of these, where any are named (`25,465,587`). `own_ports`: further ports of this machine that are
    our own servers.
    """

    keyring_file: Path
    local_inbox_smtp: str | None = None
    allow_custom_endpoints: bool = False
    scaleway_api_url: BaseUrl = "https://api.scaleway.com"
    outbound_policy: Literal["allow_private", "public"] = "allow_private"
    smtp_ports: Ports = frozenset()
    own_ports: Ports = frozenset()


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
