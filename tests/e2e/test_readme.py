"""Commands that a newcomer pastes into a shell: the README's, and the one that `make demo` ends with."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from deploy.local.demo.__main__ import EMAILS
from deploy.local.home import Home
from tests.e2e.stack import running

ROOT = Path(__file__).parents[2]
FIRST, LAST = "## The first email in five minutes", "## The picture"
SECONDS = 120


def commands() -> str:
    """Every `sh` block of the two chapters that a newcomer pastes, in their order."""
    text = (ROOT / "README.md").read_text()
    chapters = text[text.index(FIRST) : text.index(LAST)]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", chapters, re.MULTILINE | re.DOTALL))


def run(command: list[str], home: Home, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=stdin,
        env={**os.environ, "TEMPS_HOME": str(home.path)},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_readme_commands_work_as_they_stand(tmp_path: Path) -> None:
    # A system of its own, because the README makes another provider the default and registers `shop.example`.
    with running(tmp_path / "local") as stack:
        pasted = run(["sh", "-eu"], stack.home, commands())
    said = pasted.stdout + pasted.stderr
    assert pasted.returncode == 0, said
    assert "error_code" not in said
    assert "200 image/gif\n302 https://example.com/\n" in said


def test_demo_ends_with_a_command_that_works(tmp_path: Path) -> None:
    with running(tmp_path / "local") as stack:
        demo = run([sys.executable, "-m", "deploy.local.demo"], stack.home)
        assert demo.returncode == 0, demo.stdout + demo.stderr
        last_line = demo.stdout.strip().splitlines()[-1]
        pasted = run(["sh", "-eu"], stack.home, last_line)
    assert json.loads(pasted.stdout)["total"] == EMAILS, pasted.stdout + pasted.stderr
