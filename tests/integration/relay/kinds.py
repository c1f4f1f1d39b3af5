"""A kind of relay as the contract suite sees it: one of ours, a far side, and knobs that make the far side misbehave.

A kind lives in `kinds_<name>.py`, where test_contract.py finds it. A knob that the far side does not have is None;
the test then skips and says so. Knobs are turned after `opened()` and before the first send.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from libs.common.relay.port import Relay

Knob = Callable[[], Awaitable[None]]

MAX_CONNECTIONS = 3
"""What every relay of the suite is opened with."""
SENDER, SENDER_DOMAIN = "shop@shop.example", "shop.example"
"""Who writes; a far side that knows identities has this one verified already."""
OTHER_DOMAIN = "other.example"
"""A domain that no far side knows yet."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """One message as the far side took it. `visible` is all that a reader of it could see: headers and bodies."""

    recipients: tuple[str, ...]
    subject: str
    visible: str


@dataclass(frozen=True, slots=True)
class Harness:
    """One relay of ours and the far side it speaks to."""

    relay: Relay
    received: Callable[[], Awaitable[list[Arrived]]]
    """What has arrived, in order; called once the relay has answered."""
    credentials: tuple[str, ...] = ()
    """Texts that must never be seen again."""

    refuse_credentials: Knob | None = None
    refuse_message: Knob | None = None
    """For good, and not for any recipient's sake."""
    fall_silent: Knob | None = None
    """Whatever is handed over from now on is taken and never answered."""
    away: Knob | None = None
    """Nothing listens any more."""
    throttle: Knob | None = None
    use_up_quota: Knob | None = None
    linger: Knob | None = None
    """Every answer takes a few hundredths of a second, so that sends meet."""

    handed_over: Callable[[], Awaitable[None]] | None = None
    """Returns when the far side has the whole of one message, answered or not."""
    connections: Callable[[], int] | None = None
    """How many are open now, as the far side counts."""
    most_at_once: Callable[[], int] | None = None
    """How many messages, or connections, were ever in the far side's hands at the same time."""
    keeps_identities: bool = True
    """Whether the far side knows sending domains (an SMTP relay does not)."""
    verifies_at_once: bool = False
    """Whether the far side calls every domain verified without looking (an emulator may)."""
    publish: Callable[[str], Awaitable[None]] | None = None
    """From now on the far side finds this domain's records in DNS."""


class Kind(Protocol):
    """A kind of relay. `missing` says why it cannot be tried here, None when it can."""

    @property
    def name(self) -> str: ...

    def opened(self, *, hasty: bool = False) -> AbstractAsyncContextManager[Harness]:
        """Open both sides and close them again. `hasty`: silence after the hand-over is waited out quickly."""
        ...

    def missing(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class KindOf:
    """`Kind` from a function."""

    name: str
    open: Callable[[bool], AbstractAsyncContextManager[Harness]]
    why_missing: Callable[[], str | None] = field(default=lambda: None)

    def opened(self, *, hasty: bool = False) -> AbstractAsyncContextManager[Harness]:
        return self.open(hasty)

    def missing(self) -> str | None:
        return self.why_missing()


def require(kind: Kind) -> None:
    """Skip where the kind cannot be tried; fail where everything has to be."""
    reason = kind.missing()
    if reason is not None and (os.environ.get("CI") or os.environ.get("TEMPS_REQUIRE_ALL")):
        pytest.fail(f"{kind.name}: {reason}")
    if reason is not None:
        pytest.skip(f"{kind.name}: {reason}")


async def turned(kind: Kind, name: str, knob: Knob | None) -> None:
    """Turn it, or skip where the kind has none."""
    if knob is None:
        pytest.skip(f"{kind.name} has no knob to {name}")
    await knob()
