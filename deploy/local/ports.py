"""Which ports the parts use: chosen once, kept, chosen anew only where nobody outside has learned them."""

import json
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from deploy.local.errors import LocalError

# Below the range from which Linux and macOS take ports for outgoing connections, so that no client of ours
# sits on a server's port while that server is being restarted.
LOWEST, HIGHEST = 20_000, 32_000


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """True if the port is free; connections of a process that has ended do not count (SO_REUSEADDR)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port(avoid: Iterable[int] = ()) -> int:
    taken = set(avoid)
    for _ in range(1_000):
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - no secret
        if port not in taken and is_free(port):
            return port
    raise LocalError(f"no free port between {LOWEST} and {HIGHEST}")


def settle(file: Path, names: Iterable[str], fixed: Iterable[str], gateway_port: int) -> dict[str, int]:
    """The port of each name, kept in `file`; `gateway` is given and not kept.

    A kept port that is taken is chosen anew, except those in `fixed`, which others have written down.

    Raises:
        LocalError: the gateway's port or a fixed one is taken.
    """
    kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
    if not is_free(gateway_port):
        low = ", or this user may not use it (it is below 1024)" if gateway_port < 1024 else ""
        raise LocalError(
            f"port {gateway_port} is taken{low}: end what listens there, or take another: TEMPS_PORT=8081 make up"
        )
    settled = {"gateway": gateway_port}
    for name in names:
        port = kept.get(name)
        if port is not None and name in fixed and not is_free(port):
            raise LocalError(
                f"port {port} ({name}) is taken, and the stored provider knows it: end what listens there, "
                f"or remove it from {file} and create a new provider for the new port"
            )
        if port is None or port in settled.values() or not is_free(port):
            port = free_port(avoid=[*settled.values(), *kept.values()])
        settled[name] = port
    remembered = {name: port for name, port in settled.items() if name != "gateway"}
    if remembered != kept:
        scratch = file.with_suffix(".new")
        scratch.write_text(json.dumps(remembered, indent=2) + "\n")
        scratch.replace(file)
    return settled
