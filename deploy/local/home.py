"""TEMPS_HOME: one folder with everything a stack on this machine knows, and the lock of who runs it."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import LocalError

DEFAULT = ".local"
FOLDERS = ("data", "logs", "secrets")
FILES = (
    *("api-key", "admin-password", "gateway-url", "inbox-port", "inbox-provider", "ports.json", "nats.conf"),
    *("processes.json", "control.sock", "supervisor.lock"),
)


@dataclass(frozen=True)
class Home:
    """Where the files are; the folder is the operator's alone (0700)."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def data(self) -> Path:
        """The data to keep: NATS' store, Postgres' data, the inbox's mail, tracking's spool."""
        return self.path / "data"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def secrets(self) -> Path:
        return self.path / "secrets"

    @property
    def processes(self) -> Path:
        """The started processes (pid, start time, stop signal), for the next supervisor."""
        return self.path / "processes.json"

    @property
    def control(self) -> Path:
        return self.path / "control.sock"

    def contents(self) -> list[Path]:
        """Everything that a stack makes in its home."""
        return [self.path / name for name in (*FOLDERS, *FILES)]

    def gateway_url(self) -> str | None:
        file = self.path / "gateway-url"
        return file.read_text().strip() if file.exists() else None


def home_of(environment: Mapping[str, str]) -> Home:
    """The home that TEMPS_HOME names, whether it is there or not."""
    return Home(Path(environment.get("TEMPS_HOME") or DEFAULT).expanduser().absolute())


def open_home(environment: Mapping[str, str]) -> Home:
    """The same, made when it is not there."""
    home = home_of(environment)
    try:
        for folder in (home.path, home.data, home.logs, home.secrets):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LocalError(f"TEMPS_HOME cannot be used: {error}") from error
    return home


class Lock:
    """Held by the supervisor as long as it lives; the kernel lets go of it even after kill -9.

    A class because it holds a resource: the open file.
    """

    def __init__(self, home: Home) -> None:
        """Takes the lock.

        Raises:
            LocalError: a supervisor has it; the text names its pid and the gateway's URL.
        """
        self._file = (home / "supervisor.lock").open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(home)
            self._file.close()
            where = home.gateway_url() or "no URL yet"
            raise LocalError(f"already running here: pid {holder}, {where} (TEMPS_HOME={home.path})") from None
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        self._file.truncate(0)
        self._file.close()


def running_pid(home: Home) -> int | None:
    """The pid of the supervisor that holds this home, or None when nobody does."""
    file = home / "supervisor.lock"
    if not file.exists():
        return None
    with file.open("a+") as probe:
        try:
            fcntl.flock(probe, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _holder(home)
    return None


def _holder(home: Home) -> int:
    text = (home / "supervisor.lock").read_text().strip()
    return int(text) if text.isdecimal() else 0


def write_json(file: Path, value: object) -> None:
    """All of it or nothing: a reader never sees half a file."""
    scratch = file.with_name(file.name + ".new")
    scratch.write_text(json.dumps(value, indent=2) + "\n")
    scratch.replace(file)
