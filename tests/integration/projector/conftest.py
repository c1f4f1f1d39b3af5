"""A Postgres that may be stopped and frozen: a test's own, so that nobody else waits for it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local import postgres
from deploy.local.ports import free_port
from tests.backing import Database


@dataclass
class OwnPostgres:
    """A server with the roles of production, in a folder of the test's."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def database(self) -> Database:
        urls = [postgres.url(self.port, role) for role in (postgres.ANALYTICS, postgres.OWNER)]
        superuser = postgres.url(self.port, postgres.SUPERUSER)
        return Database(postgres.DATABASE, urls[0], urls[1], superuser)

    def start(self) -> None:
        data = self.folder / "data"
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                postgres.argv(data, self.port), stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
            )
        deadline = time.monotonic() + 30
        while postgres.waiting_for(data, self.process.pid) is not None:
            assert time.monotonic() < deadline, "Postgres does not start"
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        assert self.process is not None
        self.process.send_signal(how)
        self.process.wait(20)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, what: signal.Signals) -> None:
        """The whole tree, from the root on; processes come and go meanwhile."""
        assert self.process is not None
        tree = [self.process.pid]
        for pid in tree:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                os.kill(pid, what)
                tree += [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few hundred facts are a backlog, which is read, folded and staged ahead."""
    monkeypatch.setattr("services.analytics.projector.live.BATCH", 100)
    monkeypatch.setattr("services.analytics.projector.rebuilding._BATCH", 250)


@pytest.fixture
def own_postgres(tmp_path: Path) -> Iterator[OwnPostgres]:
    folder = tmp_path / "own"
    folder.mkdir()
    postgres.create(folder / "data", None, {**postgres.FRUGAL, "fsync": "off"})
    server = OwnPostgres(folder, free_port())
    server.start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.thaw()
            server.stop(signal.SIGQUIT)  # at once: nobody needs this data any more
