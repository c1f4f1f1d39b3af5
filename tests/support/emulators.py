"""The emulators of AWS that tests speak with, each started once for the process and emptied before every use.

emulator = ministack()           # or moto(); None where .venv-emulators is not there: see `missing`
emulator.url, emulator.inbox     # the port on which what ministack sends has to be received
"""

import atexit
import contextlib
import functools
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_PYTHON = _ROOT / ".venv-emulators" / "bin" / "python"
_PATIENCE = 60.0
"""Seconds that an emulator may take to answer for the first time; 0.7 on a quiet machine."""


@dataclass(frozen=True, slots=True)
class Emulator:
    """One that runs. `inbox`: to this port of 127.0.0.1 it delivers by SMTP, if it does."""

    url: str
    reset: str
    inbox: int

    def empty(self) -> None:
        """Forget everything."""
        request = urllib.request.Request(self.url + self.reset, method="POST", data=b"")
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()


def missing() -> str | None:
    """Why there are no emulators here."""
    return None if _PYTHON.exists() else ".venv-emulators is not there (make emulators)"


@functools.cache
def ministack() -> Emulator:
    """Identities with DKIM tokens, GetAccount, and sends that arrive at `inbox`."""
    port, inbox = _free_port(), _free_port()
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "SMTP_HOST": f"127.0.0.1:{inbox}",
        "LOG_LEVEL": "WARNING",
        "SERVICES": "ses",
    }
    url = _started(("ministack",), environment, port, "/_ministack/health")
    return Emulator(url, "/_ministack/reset", inbox)


@functools.cache
def moto() -> Emulator:
    """A second opinion on what SendEmail is asked."""
    port = _free_port()
    url = _started(("moto.server", "-H", "127.0.0.1", "-p", str(port)), {}, port, "/moto-api/data.json")
    return Emulator(url, "/moto-api/reset", 0)


def _started(module: tuple[str, ...], environment: Mapping[str, str], port: int, health: str) -> str:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    process = subprocess.Popen(
        [_PYTHON, _ROOT / "tests" / "emulators" / "run.py", *module],
        env={**kept, **environment},
        stdin=subprocess.PIPE,  # it ends when this does
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    atexit.register(_stop, process)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            with urllib.request.urlopen(url + health, timeout=5) as answer:
                answer.read()
            return url
        time.sleep(0.05)
    raise RuntimeError(f"{module[0]} did not answer (exit status {process.poll()})")


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.kill()
    process.wait()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
