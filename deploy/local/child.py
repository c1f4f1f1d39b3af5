"""One supervised process: in a session of its own, started again when it dies, held when told to be."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from deploy.local import proc
from deploy.local.parts import PATIENCE, Part

FIRST_PAUSE = 0.2  # seconds before a dead process is started again, doubling
LONGEST_PAUSE = 5.0
STABLE_AFTER = 10.0  # seconds of running after which the pause is the first one again
LOG_BYTES = 16 << 20
SETTINGS_REFUSED = 2  # the status with which a process ends that cannot use its settings (libs.common.settings)
ROOT = Path(__file__).parents[2]

State = Literal["down", "running", "waiting", "held", "refused"]
"""`refused`: it ended because of its settings, and starting it again cannot mend that."""


class Child:
    """Holds the process of one part. `on_change` is called whenever a pid appears or goes.

    `refusal` is what a process said of the settings that ended it.
    """

    def __init__(self, part: Part, logs: Path, say: Callable[[str], None], on_change: Callable[[], None]) -> None:
        self.part = part
        self.log = logs / f"{part.name}.log"
        self.state: State = "down"
        self.restarts = 0
        self.since = time.time()
        self.started: str | None = None
        self.refusal: str | None = None
        self._say = say
        self._on_change = on_change
        self._process: subprocess.Popen[bytes] | None = None
        self._pause = FIRST_PAUSE
        self._timer: asyncio.TimerHandle | None = None
        self._log_from = 0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Starts it unless it runs. Raises OSError when the command cannot be run at all."""
        if self._process is not None:
            return
        self._forget_timer()
        self.refusal = None
        self.rotate_log()
        with self.log.open("ab") as output:
            self._log_from = output.tell()
            self._process = subprocess.Popen(
                self.part.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, **self.part.environment},
                start_new_session=True,  # Ctrl-C at the terminal reaches the supervisor alone
            )
        self.state, self.since = "running", time.time()
        self.started = proc.started_at(self._process.pid)
        self._on_change()

    def reap(self) -> None:
        """Notices that the process has ended, says so, and plans the next start."""
        if self._process is None or self._process.poll() is None:
            return
        status, ran = self._process.returncode, time.time() - self.since
        self._process, self.started = None, None
        self.since = time.time()
        if self.state == "running" and status == SETTINGS_REFUSED and (refusal := self._refusal()) is not None:
            self.state, self.refusal = "refused", refusal
        elif self.state == "running":
            self.state = "waiting"
            self.restarts += 1
            self._pause = FIRST_PAUSE if ran >= STABLE_AFTER else self._pause
            self._say(f"{self.part.name} {_ending(status)}; started again in {self._pause:g} s{self._last_words()}")
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._start_again)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self._on_change()

    async def stop(self, *, hold: bool) -> None:
        """Ends it and starts it no more; kills its whole tree when it has not ended in time."""
        self.state = "held" if hold else "down"
        self._forget_timer()
        self._pause = FIRST_PAUSE
        self.refusal = None
        if self._process is None:
            return
        patience = PATIENCE[self.part.rank]
        proc.send(self._process.pid, self.part.stop_signal)
        deadline = time.monotonic() + patience
        while self._process is not None:
            if time.monotonic() > deadline:
                self._say(f"{self.part.name} did not stop in {patience:g} s: killed")
                proc.kill_tree(self._process.pid)
                deadline = time.monotonic() + patience
            await asyncio.sleep(proc.POLL)
            self.reap()

    def rotate_log(self) -> None:
        """Keeps one earlier log. Writers append (O_APPEND), so a file may be cut under its process."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)

    def _start_again(self) -> None:
        try:
            self.start()
        except OSError as error:
            self._say(f"{self.part.name} cannot be started: {error}; again in {self._pause:g} s")
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._start_again)
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _last_words(self) -> str:
        """The end of the log, once: a process that cannot start says there why."""
        if self.restarts != 1:
            return ""
        lines = self._words(self._log_from).splitlines()[-4:]
        return "".join(f"\n    | {line}" for line in lines)

    def _refusal(self) -> str | None:
        """The lines about settings that the last process ended with, if it was them."""
        named = [line for line in self._words(self._log_from).splitlines() if line.startswith("setting ")]
        return "\n".join(named) or None

    def _words(self, since: int) -> str:
        """The end of the log, from this offset on at most."""
        with self.log.open("rb") as file:
            file.seek(max(since, self.log.stat().st_size - 2_000))
            return file.read().decode(errors="replace")


def _ending(status: int) -> str:
    return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
