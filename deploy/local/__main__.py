"""The commands behind make: up, down, status, stop, start, logs, reset, rotate-keys, and run (one of a service)."""

import argparse
import contextlib
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from deploy.local.errors import LocalError
from deploy.local.home import Home, home_of, running_pid

DOWN_SECONDS = 45.0


def main() -> int:
    arguments = _parser().parse_args()
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "up": _up,
        "down": _down,
        "status": _status,
        "stop": _stop,
        "start": _start,
        "logs": _logs,
        "reset": _reset,
        "rotate-keys": _rotate_keys,
        "run": _run,
    }
    try:
        return commands[arguments.command](arguments)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # `make status | head -1`: nobody reads on, also not what the interpreter would flush
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:  # before the supervisor listens for it, or in `logs`
        print(file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start everything and stay in the foreground")
    commands.add_parser("down", help="stop what runs in this home")
    commands.add_parser("status", help="what runs, what is held, what waits")
    for name, text in (("stop", "hold a part down"), ("start", "let a held part run")):
        commands.add_parser(name, help=text).add_argument("part", help="for instance postgres")
    commands.add_parser("logs", help="follow the logs").add_argument("part", nargs="?")
    commands.add_parser("reset", help="delete this home's data").add_argument("--yes", action="store_true")
    commands.add_parser("rotate-keys", help="new keys for stored secrets, while everything runs")
    run = commands.add_parser("run", help="a service's command, with that service's settings")
    run.add_argument("part")
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    return parser


# Imports wait until their command is chosen: `status` must not pay for `up`, and `up` must stay small.


def _up(_: argparse.Namespace) -> int:
    from deploy.local.up import up  # noqa: PLC0415

    return up(os.environ)


def _down(_: argparse.Namespace) -> int:
    from deploy.local.up import clean_up, say  # noqa: PLC0415

    home = home_of(os.environ)
    pid = running_pid(home)
    if pid is None:
        if home.path.exists():
            clean_up(home)
        print(f"not running (TEMPS_HOME={home.path})")
        return 0
    _ask(home, "down")
    deadline = time.monotonic() + DOWN_SECONDS
    while running_pid(home) is not None:
        if time.monotonic() > deadline:
            raise LocalError(f"the supervisor (pid {pid}) has not ended within {DOWN_SECONDS:g} s")
        time.sleep(0.05)
    say(f"stopped (pid {pid})")
    return 0


def _status(_: argparse.Namespace) -> int:
    home = home_of(os.environ)
    answer = _ask(home, "status")
    print(f"{home.gateway_url()}  pid {answer['pid']}  TEMPS_HOME={home.path}\n")
    line = "{:<11} {:<9} {:>8} {:>6} {:>9} {:>8}  {}"
    print(line.format("part", "state", "pid", "port", "for", "restarts", "").rstrip())
    for part in answer["parts"]:
        state = part["state"]
        if state == "running":
            state = "starting" if part["waiting_for"] else "ready"
        since = _duration(time.time() - part["since"])
        note = f"waiting for {part['waiting_for']}" if part["waiting_for"] else ""
        columns = (
            part["name"],
            state,
            part["pid"] or "-",
            part["port"] or "-",
            since,
            part["restarts"],
            note,
        )
        print(line.format(*columns).rstrip())
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    _ask(home_of(os.environ), "stop", arguments.part)
    print(f"{arguments.part} is held down until: make start SERVICE={arguments.part}")
    return 0


def _start(arguments: argparse.Namespace) -> int:
    answer = _ask(home_of(os.environ), "start", arguments.part)
    if answer["not_ready"]:
        raise LocalError(f"{arguments.part} was started but is not ready yet: make status")
    print(f"{arguments.part} is ready")
    return 0


def _logs(arguments: argparse.Namespace) -> int:
    home = home_of(os.environ)
    files = sorted(home.logs.glob(f"{arguments.part or '*'}.log"))
    if not files:
        there = ", ".join(sorted(file.stem for file in home.logs.glob("*.log"))) or "none yet"
        raise LocalError(f"no log of {arguments.part or 'anything'}; there is: {there}")
    os.execvp("tail", ["tail", "-n", "40", "-F", *map(str, files)])


def _reset(arguments: argparse.Namespace) -> int:
    from deploy.local.up import clean_up  # noqa: PLC0415

    home = home_of(os.environ)
    if running_pid(home) is not None:
        raise LocalError("it is running: make down first")
    if not arguments.yes:
        print(
            f"This deletes every email, key, setting and log in {home.path}. Type yes to go on: ",
            end="",
            flush=True,
        )
        if sys.stdin.readline().strip() != "yes":
            raise LocalError("nothing was deleted")
    if not home.path.exists():
        raise LocalError(f"there is nothing to delete (TEMPS_HOME={home.path})")
    clean_up(home)
    for each in home.contents():  # by name: a home may be a folder that holds other things too
        if each.is_dir():
            shutil.rmtree(each)
        else:
            each.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        home.path.rmdir()
    print("deleted; the next make up starts anew")
    return 0


def _rotate_keys(_: argparse.Namespace) -> int:
    from deploy.local.rotation import rotate_keys  # noqa: PLC0415
    from deploy.local.up import say  # noqa: PLC0415

    try:
        rotate_keys(home_of(os.environ), say)
    except KeyboardInterrupt:
        print("interrupted: nothing is lost, old and new keys are both good; make rotate-keys goes on", file=sys.stderr)
        raise
    return 0


def _run(arguments: argparse.Namespace) -> int:
    """Replaces this process by `python -m services.<part> …`, in the stack's settings."""
    from deploy.local.up import run_command  # noqa: PLC0415

    return run_command(home_of(os.environ), os.environ, arguments.part, arguments.arguments)


def _ask(home: Home, do: str, part: str | None = None) -> dict[str, Any]:
    from deploy.local.control import ask  # noqa: PLC0415

    return ask(home, do, part)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f}{unit}"
    return f"{seconds:.0f}s"


if __name__ == "__main__":
    sys.exit(main())
