"""A whole system for a test: `python -m deploy.local up` in a home of its own, on ports of its own."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.local import control, proc
from deploy.local.errors import LocalError
from deploy.local.home import Home
from deploy.local.ports import free_port

READY_SECONDS = 60.0
STOP_SECONDS = 15.0
COMMAND_SECONDS = 60.0


@dataclass(frozen=True)
class Stack:
    """A running system. `process` is its supervisor, and `said` the file with what that says."""

    home: Path
    url: str
    process: subprocess.Popen[bytes]
    said: Path
    environment: Mapping[str, str]

    @property
    def key(self) -> str:
        """The first API key."""
        return (self.home / "api-key").read_text().strip()

    def parts(self) -> dict[str, dict[str, Any]]:
        """The supervisor's table: state, pid, port, restarts and waiting_for of each part."""
        return {part["name"]: part for part in control.ask(Home(self.home), "status")["parts"]}

    def ready(self) -> bool:
        """Every part runs and serves."""
        return all(part["state"] == "running" and part["waiting_for"] is None for part in self.parts().values())

    def pid(self, part: str) -> int:
        """The process of a part that runs."""
        pid: int | None = self.parts()[part]["pid"]
        assert pid is not None, f"{part} does not run"
        return pid

    def tree(self, part: str) -> list[int]:
        """That process and all below it: what must be stopped (SIGSTOP) to freeze Postgres."""
        return proc.tree(self.pid(part))

    def command(self, *words: str, seconds: float = COMMAND_SECONDS, succeeds: bool = True) -> str:
        """What `python -m deploy.local …` says, for instance `command("stop", "postgres")`."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy.local", *words],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert (done.returncode == 0) is succeeds, (words, done.returncode, done.stdout)
        return done.stdout

    def log(self, part: str) -> str:
        """What the process of a part has written so far."""
        return (self.home / "logs" / f"{part}.log").read_text(errors="replace")


@contextlib.contextmanager
def running_stack(home: Path, settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """A system that is ready, its "Local inbox" included. Afterwards it must have stopped and left no process."""
    port = free_port()
    environment = {**os.environ, "TEMPS_PORT": str(port), **(settings or {}), "TEMPS_HOME": str(home)}
    said = home.with_name(home.name + ".said")
    with said.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.local", "up"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    stack = Stack(home, f"http://127.0.0.1:{environment['TEMPS_PORT']}", process, said, environment)
    pids: list[int] = []
    try:
        _wait_until_ready(stack)
        yield stack
        pids = [part["pid"] for part in stack.parts().values() if part["pid"]]
    finally:
        process.terminate()
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            proc.kill_tree(process.pid)
            process.wait()
            raise
    assert status == 0, said.read_text()
    left = [pid for pid in pids if proc.started_at(pid) is not None]
    assert not left, f"left running: {left}"


def _wait_until_ready(stack: Stack) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while "everything is ready" not in (text := stack.said.read_text()):
        assert stack.process.poll() is None, text
        assert time.monotonic() < deadline, text + _why(stack)
        time.sleep(0.05)
    assert "could not be created" not in text, text


def _why(stack: Stack) -> str:
    """The ends of the logs of the parts that are not ready."""
    try:
        missing = [name for name, part in stack.parts().items() if part["waiting_for"] or not part["pid"]]
    except LocalError as error:
        return str(error)
    return "".join(f"\n-- {name}\n{stack.log(name)[-2_000:]}" for name in missing)
