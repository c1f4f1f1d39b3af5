"""The README's table of settings, written from the models: `python -m tests.contract.settings_table`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from deploy.local.inbox.__main__ import InboxSettings
from libs.common.jetstream.bootstrap import BootstrapSettings
from libs.common.known_settings import PREFIX
from services.analytics.settings import Settings as AnalyticsSettings
from services.gateway.settings import GatewaySettings
from services.providers.settings import ProvidersSettings
from services.sender.settings import SenderSettings, WorkerSettings
from services.tracking.settings import TrackingSettings

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- settings: begin -->\n", "<!-- settings: end -->\n"

MODELS: Mapping[str, type[BaseModel]] = {
    "gateway": GatewaySettings,
    "providers": ProvidersSettings,
    "sender": SenderSettings,
    "worker": WorkerSettings,
    "tracking": TrackingSettings,
    "analytics": AnalyticsSettings,
    "inbox": InboxSettings,
    "streams": BootstrapSettings,
}
SERVICES = tuple(name for name in MODELS if name not in {"inbox", "streams"})


@dataclass(frozen=True)
class Row:
    """One variable; `readers` are the processes that read it, in the order of MODELS."""

    variable: str
    default: str
    readers: tuple[str, ...]
    meaning: str


def table() -> str:
    """Markdown, sorted: what an operator chooses comes before what `make up` sets by itself."""
    rows = sorted(_rows(), key=lambda row: (row.default == _REQUIRED, row.variable))
    lines = [f"| `{row.variable}` | {row.default} | {_names(row.readers)} | {row.meaning} |" for row in rows]
    return "\n".join(["| setting | default | read by | |", "|---|---|---|---|", *lines]) + "\n"


def written(text: str) -> str:
    """`text` of the README with its table as the models have it now."""
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"the README has no {BEGIN.strip()} … {END.strip()}")
    return before + BEGIN + table() + END + after


_REQUIRED = "*required*"


def _rows() -> Iterator[Row]:
    yield Row("TEMPS_HOME", "`.local`", ("make",), "Folder of everything that `make up` keeps: data, logs, secrets.")
    yield Row("TEMPS_PORT", "`8080`", ("make",), "Port of the API on this machine.")
    readers: dict[str, list[str]] = {}
    fields: dict[str, FieldInfo] = {}
    for process, model in MODELS.items():
        for name, field in model.model_fields.items():
            readers.setdefault(name, []).append(process)
            if field.is_required() or name not in fields:
                fields[name] = field
    for name, field in fields.items():
        if not field.description:
            raise ValueError(f"{PREFIX}{name.upper()} has no docstring that says what it means")
        meaning = " ".join(field.description.split()).replace("|", "\\|")
        yield Row(f"{PREFIX}{name.upper()}", _default(field), tuple(readers[name]), meaning)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return _REQUIRED
    value = field.default
    if value is None or value in (frozenset(), (), ""):
        return "unset"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _names(readers: tuple[str, ...]) -> str:
    return "every service" if set(SERVICES) <= set(readers) else ", ".join(readers)


if __name__ == "__main__":
    README.write_text(written(README.read_text("utf-8")), "utf-8")
