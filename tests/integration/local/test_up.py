"""What `make up` refuses before it starts anything, and what the other commands say then."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest


def command(home: Path, *words: str, stdin: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", *words],
        env={**os.environ, "TEMPS_HOME": str(home), **settings},
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_taken_gateway_port_is_a_clear_message_and_nothing_was_started(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        refused = command(tmp_path, "up", TEMPS_PORT=str(port))
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"port {port} is taken")
    assert "Traceback" not in refused.stderr
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (["up"], {"TEMPS_PORT": "eighty"}, "TEMPS_PORT must be a port number"),
        (["run", "analytics", "rebuild", "all"], {}, "nothing was ever started here"),
        (["logs", "sender"], {}, "no log of sender; there is: none yet"),
        (["reset"], {}, "nothing was deleted"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    tmp_path: Path, words: list[str], settings: dict[str, str], message: str
) -> None:
    refused = command(tmp_path, *words, **settings)
    assert refused.returncode == 1
    assert message in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("words", [["status"], ["down"], ["stop", "nats"], ["logs"], ["rotate-keys"], ["reset"]])
def test_only_a_start_makes_a_home(tmp_path: Path, words: list[str]) -> None:
    command(tmp_path / "home", *words, stdin="yes\n")
    assert not (tmp_path / "home").exists()


def test_a_services_command_does_not_wait_for_a_stack_that_is_stopped(tmp_path: Path) -> None:
    (tmp_path / "gateway-url").write_text("http://127.0.0.1:1\n")
    (tmp_path / "ports.json").write_text("{}")
    refused = command(tmp_path, "run", "analytics", "verify-log")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"nothing runs here (TEMPS_HOME={tmp_path}): make up, in another terminal\n"


def test_the_demo_says_that_nothing_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.demo"],
        env={**os.environ, "TEMPS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert "nothing runs here" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_reset_takes_only_what_a_stack_has_made(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    (tmp_path / "api-key").write_text("tk_")
    (tmp_path / "data" / "nats").mkdir(parents=True)
    done = command(tmp_path, "reset", stdin="yes\n")
    assert done.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
