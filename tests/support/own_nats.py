"""A NATS server of a test's own, which it may kill, freeze and start again on its port and its data."""

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local import nats
from deploy.local.ports import free_port
from deploy.local.servers import NatsAddress


class OwnNats:
    """A server that a test may kill, freeze and start again on its port and its data."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._port, self._monitor_port = free_port(), free_port()
        self.address = NatsAddress(f"nats://127.0.0.1:{self._port}", f"http://127.0.0.1:{self._monitor_port}")
        nats.write_config(directory / "nats.conf", directory / "jetstream", sync="always", limit=1 << 40)
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        command = nats.argv(
            self._directory / "nats.conf", self._directory / "jetstream", self._port, self._monitor_port
        )
        self._process = await asyncio.to_thread(self._spawn, command)
        async with asyncio.timeout(20):
            while await asyncio.to_thread(nats.waiting_for, self.address.monitor_url) is not None:
                await asyncio.sleep(0.02)

    def _spawn(self, command: list[str]) -> subprocess.Popen[bytes]:
        with (self._directory / "nats.log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self._process.wait(10)
            self._process = None

    def close(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait(10)


@contextmanager
def own_nats(directory: Path) -> Iterator[OwnNats]:
    server = OwnNats(directory)
    try:
        yield server
    finally:
        server.close()
