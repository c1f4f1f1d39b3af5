"""The tracking service as a process of its own: up without NATS, and nothing lost when it is told to stop."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPResponse
from pathlib import Path
from socket import socket
from typing import cast
from uuid import UUID

from deploy.local.ports import free_port
from deploy.local.servers import NatsAddress
from libs.common.jetstream.streams import TRACKING
from libs.common.web.principal import HEADER, sign
from tests.integration.tracking.service import KEY, accept, log_and_wire, settings_for
from tests.support.aio import run
from tests.support.asgi import principal


@contextmanager
def process(nats_url: str, directory: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    settings = settings_for(nats_url, directory)
    environment = os.environ | {
        "TEMPS_NATS_URL": nats_url,
        "TEMPS_HTTP_PORT": str(port),
        "TEMPS_PRINCIPAL_KEY_FILE": str(settings.principal_key_file),
        "TEMPS_SPOOL_DIR": str(settings.spool_dir),
    }
    with (directory / "log").open("ab") as log:
        started = subprocess.Popen([sys.executable, "-m", "services.tracking"], env=environment, stderr=log)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


def get(port: int, path: str) -> int:
    headers = {HEADER: sign(principal(kind="anonymous", user_id=None, ip="127.0.0.1"), KEY)}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with cast("HTTPResponse", urllib.request.urlopen(request, timeout=5)) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code


def until(port: int, path: str, status: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if get(port, path) == status:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise TimeoutError(f"{path} does not answer {status}")


def wait_for_lines(spool: Path, count: int) -> None:
    deadline = time.monotonic() + 5
    while sum(path.read_bytes().count(b"\n") for path in spool.glob("*.spool")) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def stop(started: subprocess.Popen[bytes]) -> float:
    """Ask it to end; how long that took."""
    begun = time.monotonic()
    started.send_signal(signal.SIGTERM)
    assert started.wait(15) == 0
    return time.monotonic() - begun


def test_it_serves_without_nats_stops_quickly_and_hands_over_to_the_next_start(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    emails: list[UUID] = []

    async def prepare() -> None:
        async with log_and_wire(clean_nats) as (bus, _):
            emails.append(await accept(bus))

    async def recorded(count: int) -> None:
        async with log_and_wire(clean_nats) as (bus, _), asyncio.timeout(10):
            while (await bus.stream_state(TRACKING)).messages < count:
                await asyncio.sleep(0.02)

    run(prepare())
    pixel = f"/api/emails/{emails[0]}/track/open"
    port = free_port()
    with closing(socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        with process(f"nats://127.0.0.1:{taken.getsockname()[1]}", tmp_path, port) as started:
            until(port, "/healthz", 200)
            assert get(port, "/readyz") == 503
            assert [get(port, pixel) for _ in range(10)] == [200] * 10
            assert get(port, f"/api/emails/{emails[0]}/track/click/0") == 503
            assert stop(started) < 5
    assert (tmp_path / "spool").is_dir()
    with process(clean_nats.url, tmp_path, port) as started:
        until(port, "/readyz", 200)
        run(recorded(10))
        assert [get(port, pixel) for _ in range(10)] == [200] * 10
        assert stop(started) < 5
    run(recorded(20))
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "died" not in log


def test_a_kill_loses_nothing_that_was_spooled(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def prepare() -> UUID:
        async with log_and_wire(clean_nats) as (bus, _):
            return await accept(bus)

    async def recorded(count: int) -> None:
        async with log_and_wire(clean_nats) as (bus, _), asyncio.timeout(10):
            while (await bus.stream_state(TRACKING)).messages < count:
                await asyncio.sleep(0.02)

    email_id = run(prepare())
    port = free_port()
    with closing(socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        with process(f"nats://127.0.0.1:{taken.getsockname()[1]}", tmp_path, port) as started:
            until(port, "/healthz", 200)
            assert [get(port, f"/api/emails/{email_id}/track/open") for _ in range(25)] == [200] * 25
            # Answered first, spooled after: so the last one may take a moment.
            wait_for_lines(tmp_path / "spool", 25)
            started.kill()
            started.wait()
    with process(clean_nats.url, tmp_path, port):
        run(recorded(25))
