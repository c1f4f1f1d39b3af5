"""A channel in any order of everything that can happen to it: limits are kept, and every request gets its turn."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from libs.common.relay.port import Trouble
from services.sender.channel.rate_limit_rules import CATCH_UP
from services.sender.channel.rules import Channel, Request, Turn
from services.sender.channel.share_rules import Share
from tests.support.sending import provider_state

HERE = provider_state(1, 25)
TROUBLES = [
    None,
    None,
    Trouble("connection", "down"),
    Trouble("configuration", "535"),
    Trouble("quota", "500 a day"),
    Trouble("throttled", "slow down"),
]


class AnyOrder(RuleBasedStateMachine):
    """A clock that only goes forward, and everything that can happen to a channel."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.may_write = True
        self.channel = Channel(HERE, 3)
        self.row: list[Request] = []
        self.out: list[Request] = []
        self.sent_at: list[float] = []

    def _assign(self) -> None:
        before = len(self.out)
        for request in self.channel.assign(self.now, may_write=self.may_write):
            self.row.remove(request)
            if request.turn is Turn.SEND:
                self.out.append(request)
                self.sent_at.append(self.now)
        if len(self.out) > before:
            assert self.may_write
            assert self.channel.provider is not None
            assert len(self.out) <= self.channel.own_connections, "no more at once than it allows"
            assert self.channel.provider.is_active

    @rule(elsewhere=st.booleans())
    def ask(self, *, elsewhere: bool) -> None:
        self.row.append(self.channel.ask(lambda: elsewhere))
        self._assign()

    @precondition(lambda self: self.out)
    @rule(trouble=st.sampled_from(TROUBLES))
    def end(self, trouble: Trouble | None) -> None:
        self.channel.ended(self.out.pop(0), trouble, 0.5, self.now)
        self._assign()

    @precondition(lambda self: self.out or self.row)
    @rule(last=st.booleans())
    def leave(self, *, last: bool) -> None:
        place = self.out if self.out and (last or not self.row) else self.row
        self.channel.withdraw(place.pop())
        self._assign()

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 1.0, 6.0, 700.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._assign()

    @rule(may_write=st.booleans())
    def open_or_shut_the_gate(self, *, may_write: bool) -> None:
        self.may_write = may_write
        self._assign()

    @rule(workers=st.integers(1, 4), joined=st.booleans())
    def share(self, workers: int, *, joined: bool) -> None:
        self.channel.take_share(Share(workers, 0, joined))
        self._assign()

    @rule(
        change=st.sampled_from(
            [{"is_active": False}, {"is_active": True}, {"rate_limit_per_second": 5.0}, {"credential_version": "v"}]
        ),
        connections=st.sampled_from([1, 3]),
    )
    def configure(self, change: dict[str, Any], connections: int) -> None:
        self.channel.configure(HERE.model_copy(update=change), connections)
        self.sent_at.clear()
        self._assign()

    @invariant()
    def nobody_is_forgotten(self) -> None:
        assert self.channel.out == len(self.out)
        if self.row and not self.out:
            at = self.channel.wake_at(self.now, may_write=self.may_write)
            assert at is not None or not self.channel.own_connections

    @invariant()
    def a_rate_is_kept(self) -> None:
        limit = self.channel.rate_limit.per_second
        for earlier, later in zip(self.sent_at, self.sent_at[1:], strict=False):
            assert limit is None or later - earlier >= 1 / limit - CATCH_UP - 1e-9 or self.channel.share.workers > 1

    def teardown(self) -> None:
        """Once everything is well, everybody gets a turn."""
        self.may_write = True
        self.channel.take_share(Share())
        self.channel.configure(HERE.model_copy(update={"credential_version": "mended"}), 3)
        self._assign()
        for _ in range(300):
            while self.out:
                self.channel.ended(self.out.pop(), None, 0.1, self.now)
            if not self.row:
                return
            at = self.channel.wake_at(self.now, may_write=True)
            assert at is not None
            self.now = max(self.now, at) + 1e-6
            self._assign()
        raise AssertionError(f"{len(self.row)} wait for ever")


def test_in_any_order_limits_are_kept_and_nobody_waits_for_ever() -> None:
    run_state_machine_as_test(
        AnyOrder, settings=settings(max_examples=200, stateful_step_count=40, derandomize=True, deadline=None)
    )
