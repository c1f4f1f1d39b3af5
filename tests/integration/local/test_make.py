"""What `make` says and does before anything of ours runs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def make(*words: str, where: Path = ROOT) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "PYTHON")}
    return subprocess.run(
        ["make", *words], cwd=where, env=clean, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("stop", "say which part: make stop SERVICE=postgres"),
        ("start", "say which part: make start SERVICE=postgres"),
        ("rebuild", "say which read model: make rebuild NAME=all"),
    ],
)
def test_a_command_that_lacks_its_word_says_so_at_once(tmp_path: Path, target: str, words: str) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    refused = make(target, where=tmp_path)
    assert refused.returncode != 0
    assert words in refused.stderr
    assert not (tmp_path / ".venv").exists()


def test_another_python_makes_the_environment_again() -> None:
    assert "setup.sh" not in make("-n", "setup").stdout
    assert "setup.sh" not in make("-n", "setup", f"PYTHON={sys.executable}").stdout
    assert "setup.sh" in make("-n", "setup", "PYTHON=/nonexistent/python3").stdout


# What was started in the background inherits "ignore SIGINT", and sh cannot trap what is ignored at its start.
HEARS_CTRL_C = (
    "import os, signal; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp('sh', ['sh', 'deploy/local/setup.sh'])"
)


def test_ctrl_c_in_the_setup_is_one_line(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HEARS_CTRL_C],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable, "VENV": str(tmp_path / "venv"), "LOCK": "locks/dev.txt"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with process:
        assert process.stdout is not None
        assert "making" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
        said = process.stdout.read()
        assert process.wait(20) == 130
    assert said.strip() == "setup: interrupted; the next make goes on from here"
