"""What a scripted relay is told to do, and what it writes down."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Act:
    """What happens at a stage. `reply` None is the default reply, b"" is silence.

    `pieces`: the reply is cut there and its parts are sent apart, `pause` seconds between them.
    `message_kept`: the message counts as received whatever is said (only at `dot`; by default if a 2yz is).
    """

    reply: bytes | None = None
    then: Literal["go on", "close", "reset", "hang"] = "go on"
    delay: float = 0
    pieces: tuple[int, ...] = ()
    pause: float = 0.02
    message_kept: bool | None = None


Script = Mapping[str, Act | Sequence[Act]]


def say(text: str, then: Literal["go on", "close", "reset", "hang"] = "go on") -> Act:
    """This reply (lines separated by a line feed), then that."""
    return Act(text.encode().replace(b"\n", b"\r\n") + b"\r\n", then)


def raw(data: bytes, then: Literal["go on", "close", "reset", "hang"] = "go on") -> Act:
    """Exactly these bytes."""
    return Act(data, then)


def close() -> Act:
    """The connection is closed without a word."""
    return Act(b"", "close")


def reset() -> Act:
    """The connection is reset (RST)."""
    return Act(b"", "reset")


def hang() -> Act:
    """No answer ever; the connection stays open."""
    return Act(b"", "hang")


def lose() -> Act:
    """At `dot`: the message is taken, the line is dropped before anybody hears of it."""
    return Act(b"", "close", message_kept=True)


@dataclass(slots=True)
class Session:
    """One connection as the relay saw it."""

    commands: list[bytes] = field(default_factory=list)
    tls: bool = False
    before_tls: bytes = b""
    """What the client sent in plain text after STARTTLS and before the handshake; must be nothing."""
    login: tuple[str, str, str] | None = None
    """Mechanism, user, password, as offered (right or wrong)."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the relay's side has closed."""

    def verbs(self) -> list[str]:
        return [command.split(b" ")[0].upper().decode("ascii", "replace") for command in self.commands]


@dataclass(frozen=True, slots=True)
class Received:
    """A message that the relay has taken, dots removed."""

    mail_from: str
    recipients: tuple[str, ...]
    raw: bytes
    parameters: str
    session: Session
