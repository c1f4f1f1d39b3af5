"""Read models are made again from the facts and come out the same; the log and its copy agree."""

import os
import subprocess
import sys

from tests.e2e.client import Api
from tests.e2e.load import Load, account
from tests.e2e.stack import Stack


def operate(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """An operator's command on the running stack, as the Makefile calls it."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.local", "run", "analytics", *arguments],
        env={**os.environ, "TEMPS_HOME": str(stack.home.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_rebuild_under_load_gives_the_same_figures_and_the_log_verifies(stack: Stack, api: Api) -> None:
    with Load(api, rate=40, most=2_000) as load:
        load.wait_accepted(60)
        done = operate(stack, "rebuild", "all")
        assert done.returncode == 0, done.stdout + done.stderr
        load.wait_accepted(20)
    account(load)
    for command in (["compare", "all"], ["verify-log"]):
        done = operate(stack, *command)
        assert done.returncode == 0, done.stdout + done.stderr
