"""Real servers for a test session: in a folder, on free ports, stopped when the test process ends."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local import nats, postgres
from deploy.local.errors import LocalError
from deploy.local.ports import free_port

START_SECONDS = 30.0
TEST_STORE_LIMIT = 1 << 40  # bytes; any stream definition fits, and no test fills it


@dataclass(frozen=True)
class NatsAddress:
    url: str
    monitor_url: str


@dataclass(frozen=True)
class PostgresAddress:
    """For the roles postgres, temps_owner and temps_analytics; everybody on the machine is trusted."""

    port: int

    def url(self, role: str = postgres.SUPERUSER, database: str = "postgres") -> str:
        return postgres.url(self.port, role, database=database)


@contextmanager
def running_nats(
    directory: Path, *, sync: str = "2m", port: int | None = None, passwords: Mapping[str, str] | None = None
) -> Iterator[NatsAddress]:
    """A NATS server with JetStream in that folder; relaxed syncing unless told `sync="always"`.

    Open to everybody on this machine, unless `passwords` names one for each user of `deploy.nats_users`.
    """
    port, monitor_port = port or free_port(), free_port()
    config, store = directory / "nats.conf", directory / "jetstream"
    directory.mkdir(parents=True, exist_ok=True)
    nats.write_config(config, store, passwords=passwords, sync=sync, limit=TEST_STORE_LIMIT)
    address = NatsAddress(f"nats://127.0.0.1:{port}", f"http://127.0.0.1:{monitor_port}")
    command = nats.argv(config, store, port, monitor_port)
    with _running(command, directory / "nats.log", signal.SIGTERM, lambda _: nats.waiting_for(address.monitor_url)):
        yield address


@contextmanager
def running_postgres(directory: Path, settings: dict[str, str] | None = None) -> Iterator[PostgresAddress]:
    """A Postgres server in that folder, everyone trusted, with the roles and the (empty) database `temps`."""
    data, port = directory / "postgres", free_port()
    directory.mkdir(parents=True, exist_ok=True)
    postgres.create(data, None, {**postgres.FRUGAL, **postgres.RELAXED, **(settings or {})})
    command = postgres.argv(data, port)
    log = directory / "postgres.log"
    with _running(command, log, signal.SIGINT, lambda pid: postgres.waiting_for(data, pid)):
        yield PostgresAddress(port)


@contextmanager
def _running(
    command: list[str], log: Path, stop_signal: signal.Signals, waiting_for: Callable[[int], str | None]
) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*_dies_with_us(stop_signal, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while (missing := waiting_for(process.pid)) is not None:
            if process.poll() is not None or time.monotonic() > deadline:
                raise LocalError(f"{missing} did not start:\n{log.read_text()[-4000:]}")
            time.sleep(0.02)
        yield
    finally:
        process.send_signal(stop_signal)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _dies_with_us(stop_signal: signal.Signals, command: list[str]) -> list[str]:
    """A test process that is killed must leave no server behind; Linux can promise it (prctl(2), PDEATHSIG).

    It is put after a change of user namespace, which would clear it.
    """
    if shutil.which("setpriv") is None:
        return command
    promise = ["setpriv", "--pdeathsig", stop_signal.name.removeprefix("SIG"), "--"]
    where = command.index("--") + 1 if "--" in command else 0
    return [*command[:where], *promise, *command[where:]]
