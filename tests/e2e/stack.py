"""A whole system for a test: `python -m deploy.local up` in a home of its own, on ports of its own."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from deploy.local import control, proc
from deploy.local.home import Home
from deploy.local.ports import free_port

READY_SECONDS = 60.0
STOP_SECONDS = 15.0

Found = TypeVar("Found")


@dataclass(frozen=True)
class Stack:
    """A running system. `process` is its supervisor; what it says is in `said`."""

    home: Home
    url: str
    process: subprocess.Popen[bytes]
    said: Path

    @property
    def key(self) -> str:
        """The first API key."""
        return (self.home / "api-key").read_text().strip()

    @property
    def nats_url(self) -> str:
        """NATS as its operator reaches it.

        Not for threads: asking the supervisor changes this process's folder for a moment.
        """
        password = (self.home / "secrets" / "nats-operator").read_text().strip()
        return f"nats://operator:{password}@127.0.0.1:{self.parts()['nats']['port']}"

    def parts(self) -> dict[str, dict[str, Any]]:
        """The supervisor's table: state, pid, port, restarts and so on of each part."""
        return {part["name"]: part for part in control.ask(self.home, "status")["parts"]}

    def pid(self, part: str) -> int:
        pid: int | None = self.parts()[part]["pid"]
        assert pid is not None, f"{part} does not run"
        return pid

    def kill(self, part: str) -> int:
        """kill -9 of the process of a part; the pid that it had."""
        pid = self.pid(part)
        os.kill(pid, signal.SIGKILL)
        return pid

    def hold(self, part: str) -> None:
        control.ask(self.home, "stop", part)

    def release(self, part: str) -> None:
        assert control.ask(self.home, "start", part)["not_ready"] == []

    @contextlib.contextmanager
    def held(self, part: str) -> Iterator[None]:
        """The part is down inside the context."""
        self.hold(part)
        try:
            yield
        finally:
            self.release(part)

    @contextlib.contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """The part and all below it are stopped (SIGSTOP): connections hang, nothing is refused."""
        pids = proc.tree(self.pid(part))
        for pid in pids:
            proc.send(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                proc.send(pid, signal.SIGCONT)

    def ready(self, seconds: float = READY_SECONDS) -> None:
        """Waits until every part runs and serves."""
        wait_until(lambda: _all_ready(self.parts()), seconds, lambda: f"{self.parts()}")

    def log(self, part: str) -> str:
        return (self.home.logs / f"{part}.log").read_text(errors="replace")


@contextlib.contextmanager
def running(home: Path, environment: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A system that is ready, with its "Local inbox". Afterwards it must have stopped, and left no process."""
    port = free_port()
    said = home.with_name(home.name + ".said")
    settings = {"TEMPS_PORT": str(port), **(environment or {}), "TEMPS_HOME": str(home)}
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "up"],
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stack = Stack(Home(home), f"http://127.0.0.1:{settings['TEMPS_PORT']}", process, said)
    pids: list[int] = []
    try:
        wait_until(lambda: _settled(stack), READY_SECONDS, said.read_text)
        yield stack
        if process.poll() is None:  # a test may have killed it
            pids = [part["pid"] for part in stack.parts().values() if part["pid"]]
    finally:
        process.terminate()
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            proc.kill_tree(process.pid)
            process.wait()
            raise
    assert status in {0, -signal.SIGKILL}, said.read_text()
    left = [pid for pid in pids if proc.started_at(pid) is not None]
    assert not left, f"left running: {left}"


def wait_until(condition: Callable[[], Found], seconds: float = 15.0, explain: Callable[[], str] = lambda: "") -> Found:
    """The first truthy value of `condition`, asked again and again; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain. {explain()}"
        time.sleep(0.05)
    return found


def _settled(stack: Stack) -> bool:
    assert stack.process.poll() is None, stack.said.read_text()
    text = stack.said.read_text()
    assert "could not be created" not in text, text
    return "everything is ready" in text


def _all_ready(parts: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(part["state"] == "running" and part["waiting_for"] is None for part in parts.values())
