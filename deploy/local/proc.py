"""Other processes, told apart by pid and start time: a pid alone may belong to somebody else by now."""

import os
import signal
import subprocess
import time
from pathlib import Path

_PROC = Path("/proc")
POLL = 0.02


def started_at(pid: int) -> str | None:
    """The start time of a living process, in the system's own words; None when it is gone (or a zombie)."""
    if _PROC.joinpath("self/stat").exists():
        fields = _stat(pid)
        # proc(5): state is the third field, starttime the 22nd; the name before them may hold spaces.
        return None if fields is None or fields[0] in "ZX" else fields[19]
    found = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def tree(pid: int) -> list[int]:
    """A process and all below it. Postgres' backends lead sessions of their own: a group would miss them."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        fields = _stat(int(entry.name)) if entry.name.isdecimal() else None
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = [pid]
    for each in found:
        found.extend(children.get(each, ()))
    return found


def send(pid: int, what: signal.Signals) -> None:
    """A signal to a process that may just have ended."""
    try:
        os.kill(pid, what)
    except ProcessLookupError:
        return


def kill_tree(pid: int) -> None:
    """The last resort: SIGKILL, from which a stopped (SIGSTOP) process is not safe either."""
    for each in tree(pid):
        send(each, signal.SIGKILL)


def end(processes: dict[int, str], what: signal.Signals, seconds: float) -> None:
    """Asks processes (pid and start time) to end, waits, and kills those that have not after `seconds`."""
    for pid, started in processes.items():
        if started_at(pid) == started:
            send(pid, what)
    deadline = time.monotonic() + seconds
    while alive := [pid for pid, started in processes.items() if started_at(pid) == started]:
        if time.monotonic() > deadline:
            for pid in alive:
                kill_tree(pid)
            deadline = time.monotonic() + seconds
        time.sleep(POLL)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat after the name, which are state, ppid and so on."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
