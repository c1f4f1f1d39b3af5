"""Settings: environment variables read once into a frozen model that reports every missing one at once."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, ValidationError

PREFIX = "TEMPS_"


class Settings(BaseModel):
    """What every process needs. A field `http_port` is read from `TEMPS_HTTP_PORT`."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    http_host: str = "127.0.0.1"
    http_port: int = 0
    internal_port: int = 0
    nats_url: str
    nats_monitor_url: str | None = None
    nats_replicas: int = 1
    principal_key_file: Path
    public_url: str = "http://localhost:8080"
    brand: str = "Temps"


def own_ports(settings: Settings) -> frozenset[int]:
    """Ports of this machine that are our own servers: no relay is there, whatever a provider says."""
    urls = [*settings.nats_url.split(","), settings.nats_monitor_url or "", settings.public_url]
    ports = {urlsplit(url).port for url in urls} | {settings.http_port, settings.internal_port}
    return frozenset(port for port in ports if port)


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
            f"{names.get(str(item['loc'][0]), str(item['loc']))}: {item['msg']}"
            for item in error.errors(include_input=False)
        ]
    for problem in problems:
        print(f"setting {problem}", file=sys.stderr)  # noqa: T201 - logging is configured from the settings
    raise SettingsError(problems)
