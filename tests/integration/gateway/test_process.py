"""The gateway as a process: up without NATS, metrics inside only, and a quiet end."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path

from libs.common import apikey
from tests.integration.gateway.stack import write_files


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=dict(headers or {}))
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def until_up(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            get(port, "/healthz")
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


def test_it_comes_up_without_nats_says_what_it_waits_for_and_ends_when_told(tmp_path: Path) -> None:
    files = write_files(tmp_path)
    port, inside, nowhere = free_port(), free_port(), free_port()
    names = ("PROVIDERS", "SENDER", "TRACKING", "ANALYTICS")
    environment = {
        "PATH": os.environ["PATH"],
        "TEMPS_NATS_URL": f"nats://127.0.0.1:{nowhere}",
        "TEMPS_HTTP_PORT": str(port),
        "TEMPS_INTERNAL_PORT": str(inside),
        "TEMPS_PRINCIPAL_KEY_FILE": str(files["principal"]),
        "TEMPS_SESSION_KEY_FILE": str(files["session"]),
        "TEMPS_KEYRING_FILE": str(files["ring"]),
        **{f"TEMPS_{name}_URL": f"http://127.0.0.1:{nowhere}" for name in names},
    }
    process = subprocess.Popen([sys.executable, "-m", "services.gateway"], env=environment, stderr=subprocess.PIPE)
    try:
        until_up(port)
        assert get(port, "/readyz") == (503, '{"status":"waiting","waiting_for":["key","user"]}')
        key = {"Authorization": f"Bearer {apikey.new_key()}"}
        status, body = get(port, "/api/emails", key)
        assert (status, "NOT_CAUGHT_UP" in body) == (503, True)
        assert get(port, "/api/emails/x/track/open")[0] == 502
        assert get(port, "/metrics")[0] == 404
        status, metrics = get(inside, "/metrics")
        assert (status, 'route="tracking"' in metrics) == (200, True)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=15)
        assert process.returncode == 0, errors
        assert b"Traceback" not in errors
    finally:
        process.kill()
        process.wait()


def test_every_missing_setting_is_named_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.gateway"],
        env={"PATH": os.environ["PATH"], "TEMPS_SENDER_URL": "https://x/y"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 2
    for name in ("NATS_URL", "PROVIDERS_URL", "SENDER_URL", "SESSION_KEY_FILE", "KEYRING_FILE"):
        assert f"setting TEMPS_{name}: " in done.stderr
