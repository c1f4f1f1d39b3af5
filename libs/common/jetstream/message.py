"""A message as read from a stream, with what JetStream says about its delivery."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

_NO_HEADERS: Mapping[str, str] = {}


class Message(NamedTuple):
    """`time` is when the stream stored it (Unix seconds); `reply` is where acknowledgements go.

    `received` is the earliest `time.monotonic()` at which the server may have sent it, which is when it was asked for:
    a lease runs from then, also while it waits in a buffer.
    """

    subject: str
    data: bytes
    headers: Mapping[str, str]
    stream: str = ""
    sequence: int = 0
    consumer_sequence: int = 0
    num_delivered: int = 0
    num_pending: int = 0
    time: float = 0.0
    reply: str = ""
    received: float = 0.0


_V1_TOKENS = 9


def delivered(raw: Any, received: float) -> Message:
    """From a consumer's delivery: `$JS.ACK.<stream>.<consumer>.<delivered>.<seq>.<consumer seq>.<time>.<pending>`.

    Servers from 2.14 on may put two tokens (domain and account hash) before the stream's name.
    """
    tokens = raw.reply.split(".")
    base = 2 if len(tokens) == _V1_TOKENS else 4
    return Message(
        raw.subject,
        raw.data,
        raw.headers or _NO_HEADERS,
        tokens[base],
        int(tokens[base + 3]),
        int(tokens[base + 4]),
        int(tokens[base + 2]),
        int(tokens[base + 6]),
        int(tokens[base + 5]) / 1e9,
        raw.reply,
        received,
    )


def stored(raw: Any) -> Message:
    """From a direct get (ADR-31): everything is in headers."""
    headers = raw.headers or _NO_HEADERS
    return Message(
        subject=headers.get("Nats-Subject", raw.subject),
        data=raw.data,
        headers=headers,
        stream=headers.get("Nats-Stream", ""),
        sequence=int(headers.get("Nats-Sequence", 0)),
        num_pending=int(headers.get("Nats-Num-Pending", 0)),
        time=parse_time(headers["Nats-Time-Stamp"]) if "Nats-Time-Stamp" in headers else 0.0,
    )


def parse_time(text: str) -> float:
    """RFC 3339 with nanoseconds, as NATS writes it, to Unix seconds."""
    whole, _, rest = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole + "+00:00").timestamp() + (float("0." + rest) if rest else 0.0)
