"""What a start says: the login that is really stored, a mistyped setting, a refused one."""

import os
import subprocess
import sys
from pathlib import Path

from deploy.local.ports import free_port
from tests.e2e.client import Api
from tests.e2e.stack import running, wait_until


def said_by(home: Path, **settings: str) -> str:
    """Everything that one start said until it was ready and had shown the login."""
    with running(home, settings) as stack:
        wait_until(lambda: "login " in stack.said.read_text())
        with Api(stack.url, stack.key) as api:
            assert api.get("/api/users/1")["email"] == "owner@example.com"
        return stack.said.read_text()


def test_the_printed_login_is_the_stored_users(tmp_path: Path) -> None:
    first = said_by(tmp_path / "home", TEMPS_ADMIN_EMAIL="owner@example.com", TEMPS_PUBLIC_ULR="http://x.example")
    assert "  login      owner@example.com / " in first
    assert first.count("TEMPS_PUBLIC_ULR is not a setting: did you mean TEMPS_PUBLIC_URL?") == 1
    second = said_by(tmp_path / "home", TEMPS_ADMIN_EMAIL="other@example.com")
    assert "  login      owner@example.com (TEMPS_ADMIN_EMAIL counts at the first start only) / " in second


def test_a_refused_setting_ends_the_start_with_its_reason_alone(tmp_path: Path) -> None:
    settings = {"TEMPS_HOME": str(tmp_path / "home"), "TEMPS_PORT": str(free_port()), "TEMPS_ADMIN_EMAIL": "nobody"}
    refused = subprocess.run(
        [sys.executable, "-m", "deploy.local", "up"],
        env={**os.environ, **settings},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    said = refused.stdout + refused.stderr
    assert refused.returncode == 1
    assert said.count("TEMPS_ADMIN_EMAIL: must be an email address like admin@example.com") == 1
    assert "started again" not in said
    assert "Traceback" not in said
