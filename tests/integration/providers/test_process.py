"""The providers service as a process of its own: up without NATS, and clear about what it waits for."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing
from pathlib import Path
from socket import socket
from typing import Any

from deploy.local.ports import free_port
from libs.common.web.principal import HEADER, sign
from tests.integration.providers.service import ADMIN, KEY, settings_for
from tests.support.asgi import principal


def get(port: int, path: str) -> tuple[int, Any]:
    headers = {HEADER: sign(principal(scopes=ADMIN), KEY)}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, json.load(refused)


def test_it_comes_up_without_nats_and_says_what_is_missing(tmp_path: Path) -> None:
    port = free_port()
    with closing(socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        settings = settings_for(f"nats://127.0.0.1:{taken.getsockname()[1]}", tmp_path)
        environment = os.environ | {
            "TEMPS_NATS_URL": settings.nats_url,
            "TEMPS_HTTP_PORT": str(port),
            "TEMPS_PRINCIPAL_KEY_FILE": str(settings.principal_key_file),
            "TEMPS_KEYRING_FILE": str(settings.keyring_file),
        }
        with (tmp_path / "log").open("wb") as log:
            started = subprocess.Popen([sys.executable, "-m", "services.providers"], env=environment, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    assert get(port, "/healthz")[0] == 200
                    break
                except OSError:
                    assert started.poll() is None, (tmp_path / "log").read_text()
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
            status, body = get(port, "/readyz")
            assert (status, body["waiting_for"]) == (503, ["provider", "domain", "user"])
            status, body = get(port, "/api/email-providers")
            assert (status, body["error_code"]) == (503, "NOT_CAUGHT_UP")
            document = get(port, "/openapi.json")[1]
            operations = {
                operation["operationId"] for path in document["paths"].values() for operation in path.values()
            }
            assert operations == {
                "create_email_provider",
                "list_email_providers",
                "get_email_provider",
                "update_email_provider",
                "delete_email_provider",
                "test_provider",
                "create_email_domain",
                "list_email_domains",
                "get_domain",
                "get_domain_by_name",
                "get_domain_dns_records",
                "verify_domain",
                "delete_email_domain",
            }
            started.send_signal(signal.SIGTERM)
            assert started.wait(10) == 0
        finally:
            started.kill()
            started.wait()
    assert "Traceback" not in (tmp_path / "log").read_text()
