"""`make up` itself: how much it takes, that it finds its data again, and that two of them do not meet."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import proc
from tests.e2e.client import Api
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


def test_a_second_start_here_names_the_first_and_a_start_elsewhere_runs_beside_it(
    stack: Stack, api: Api, tmp_path: Path
) -> None:
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
        theirs = Api(other.url, other.key)
        assert theirs.get("/api/emails")["total"] == 0
        assert theirs.get("/api/email-providers")[0]["name"] == "Local inbox"
        assert theirs.request("GET", "/api/me", headers={"Authorization": f"Bearer {stack.key}"}).status == 401
    assert api.get("/api/me")


def test_after_kill_minus_nine_of_the_supervisor_the_next_start_ends_the_rest_and_finds_the_data(
    tmp_path: Path,
) -> None:
    home = tmp_path / "home"
    with running(home) as first:
        sent = Api(first.url, first.key).post("/api/emails", _email())["id"]
        provider = (home / "inbox-provider").read_text()
        left = proc.tree(first.process.pid)[1:]
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
        assert len(left) >= 9
        with running(home) as second:
            assert "ending what an earlier run left behind" in second.said.read_text()
            assert not set(left) & set(proc.tree(second.process.pid))
            api = Api(second.url, second.key)
            wait_until(lambda: api.get(f"/api/emails/{sent}")["status"] == "captured")
            assert [str(each["id"]) for each in api.get("/api/email-providers")] == [provider.strip()]
            api.request("DELETE", f"/api/email-providers/{provider.strip()}")
        with running(home) as third:
            assert Api(third.url, third.key).get("/api/email-providers") == []


def _email() -> dict[str, object]:
    return {"from": "a@shop.example", "to": "b@example.com", "subject": "Hello", "text": "Hello"}


def _pss(pid: int) -> int:
    found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0
