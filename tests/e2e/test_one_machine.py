"""`make up` itself: how much it takes, that it finds its data again, and that two of them do not meet."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from deploy.local import proc
from tests.e2e.stack import Stack, running, wait_until

MEMORY_MB = 600


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells proportional memory")
def test_the_idle_system_takes_less_than_600_mb(tmp_path: Path) -> None:
    with running(tmp_path / "home") as stack:
        pids = proc.tree(stack.process.pid)
        kilobytes = {pid: _pss(pid) for pid in pids}
        total = sum(kilobytes.values()) / 1024
        assert total <= MEMORY_MB, {pid: f"{value / 1024:.0f} MB" for pid, value in kilobytes.items()}


def test_every_service_is_a_process_that_ps_shows_with_its_home(stack: Stack) -> None:
    for part in ("gateway", "providers", "sender", "tracking", "analytics"):
        pid = stack.pid(part)
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        assert command[1:3] == [b"-m", f"services.{part}".encode()]
        assert f"TEMPS_HOME={stack.home.path}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        assert os.getsid(pid) == pid


def test_a_second_start_here_names_the_first_and_a_start_elsewhere_runs_beside_it(stack: Stack, tmp_path: Path) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "deploy.local", "up"],
        env={**os.environ, "TEMPS_HOME": str(stack.home.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert second.returncode == 1
    assert str(stack.process.pid) in second.stderr
    assert stack.url in second.stderr
    with running(tmp_path / "other") as other:
        assert _call(other, "/api/emails")[1]["total"] == 0
        assert _call(other, "/api/email-providers")[1][0]["name"] == "Local inbox"
        assert _call(other, "/api/me", key=stack.key)[0] == 401
    assert _call(stack, "/api/me")[0] == 200


def test_after_kill_minus_nine_of_the_supervisor_the_next_start_ends_the_rest_and_finds_the_data(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    email = {"from": "a@shop.example", "to": "b@example.com", "subject": "Hello", "text": "Hello"}
    with running(home) as first:
        status, sent = _call(first, "/api/emails", "POST", email)
        assert status == 201
        provider = (home / "inbox-provider").read_text().strip()
        left = proc.tree(first.process.pid)[1:]
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        assert len(left) >= 9
        with running(home) as second:
            assert "ending what an earlier run left behind" in second.said.read_text()
            assert not set(left) & set(proc.tree(second.process.pid))
            wait_until(lambda: _call(second, f"/api/emails/{sent['id']}")[1]["status"] == "captured")
            assert [str(each["id"]) for each in _call(second, "/api/email-providers")[1]] == [provider]
            assert _call(second, f"/api/email-providers/{provider}", "DELETE")[0] == 204
        with running(home) as third:
            assert _call(third, "/api/email-providers") == (200, [])


def _call(stack: Stack, path: str, method: str = "GET", body: object = None, key: str | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        stack.url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key or stack.key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def _pss(pid: int) -> int:
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
