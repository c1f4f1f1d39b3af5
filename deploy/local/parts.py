"""A part of the stack: one process, how it is started, when it is ready, in which order it is stopped."""

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum


class Rank(IntEnum):
    """The order of stopping: a part stops before the parts it uses."""

    SERVICE = 1
    INBOX = 2
    NATS = 3
    POSTGRES = 4


# Seconds that each rank has between its signal and SIGKILL. NATS writes its indexes and Postgres a checkpoint, which a
# busy disk makes slow; neither loses anything by SIGKILL, but its next start has to look through everything again.
PATIENCE = {Rank.SERVICE: 5.0, Rank.INBOX: 2.0, Rank.NATS: 15.0, Rank.POSTGRES: 15.0}


@dataclass(frozen=True)
class Part:
    """`waiting_for(pid)` is None once the process serves, else what it waits for; called in a thread."""

    name: str
    command: tuple[str, ...]
    waiting_for: Callable[[int], str | None]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    port: int | None = None
    rank: Rank = Rank.SERVICE
    stop_signal: signal.Signals = signal.SIGTERM


def http_ready(port: int) -> Callable[[int], str | None]:
    """Ready when `/readyz` on that loopback port answers 200; a 503 says itself what is missing."""

    def waiting_for(_pid: int) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2):
                return None
        except urllib.error.HTTPError as error:
            with error:
                return _named(error.read(), f"its /readyz answers {error.code}")
        except (OSError, ValueError):  # refused, cut, timed out, or not HTTP
            return "its first answer"

    return waiting_for


def _named(body: bytes, otherwise: str) -> str:
    try:
        return ", ".join(json.loads(body)["waiting_for"]) or otherwise
    except (ValueError, KeyError, TypeError):
        return otherwise
