"""Any order of hand-outs, lost leases, crashes, provider changes and answers keeps the two promises of delivering.

No accepted email stays without an end; and nobody gets more copies than one and the unknown outcomes on record.
"""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from services.sender.deliver import deliver_email
from tests.unit.sender.deliver.cases import ADA, BOB
from tests.unit.sender.deliver.world import ANSWERS, Worker, World

RUNS, STEPS = 250, 60
PICK = st.integers(0, 5)
PROVIDERS = st.sampled_from([1, 2, 3])


class AnyOrder(RuleBasedStateMachine):
    """Workers and what can happen to them."""

    steps = 0

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    def _worker(self, pick: int) -> Worker:
        return self.world.workers[pick % len(self.world.workers)]

    def _count(self) -> None:
        type(self).steps += 1

    @precondition(lambda self: self.world.free())
    @rule(pick=PICK)
    def hand_out(self, pick: int) -> None:
        self._count()
        free = self.world.free()
        self.world.hand_out(free[pick % len(free)])

    @precondition(lambda self: self.world.workers)
    @rule(pick=PICK, times=st.integers(1, 6))
    def work(self, pick: int, times: int) -> None:
        self._count()
        worker = self._worker(pick)
        for _ in range(times):
            if worker in self.world.workers:
                self.world.step(worker)

    @precondition(lambda self: self.world.workers)
    @rule(pick=PICK)
    def kill(self, pick: int) -> None:
        self._count()
        self.world.kill(self._worker(pick))

    @precondition(lambda self: self.world.workers)
    @rule(pick=PICK)
    def lose_the_lease(self, pick: int) -> None:
        self._count()
        self._worker(pick).lapsed = True
        self.world.leases_lost += 1

    @rule(identifier=PROVIDERS, answer=st.sampled_from(ANSWERS))
    def answer_otherwise(self, identifier: int, answer: str) -> None:
        self._count()
        self.world.relays[identifier].answer = answer

    @rule(identifier=PROVIDERS, is_open=st.booleans())
    def open_a_circuit(self, identifier: int, *, is_open: bool) -> None:
        self._count()
        self.world.relays[identifier].circuit_open = is_open

    @rule(identifier=PROVIDERS, change=st.sampled_from(["off", "on", "hold", "retry", "no fallbacks", "delete"]))
    def change_a_provider(self, identifier: int, change: str) -> None:
        self._count()
        if change == "delete":
            self.world.delete(identifier)
        elif change in ("hold", "retry"):
            self.world.change(identifier, unknown_policy=change)
        elif change == "no fallbacks":
            self.world.change(identifier, fallback_provider_ids=[])
        else:
            self.world.change(identifier, is_active=change == "on")

    @rule(identifier=PROVIDERS)
    def read_the_view_anew(self, identifier: int) -> None:
        self._count()
        self.world.forget(identifier)

    @rule()
    def have_read_the_view(self) -> None:
        self._count()
        self.world.remember()

    @rule(seconds=st.sampled_from([0.5, 2.0, 130.0]))
    def pass_time(self, seconds: float) -> None:
        self._count()
        self.world.pass_time(seconds)

    @invariant()
    def nobody_gets_more_copies_than_the_log_explains(self) -> None:
        assert not self.world.too_many_copies(), (self.world.copies, [each.name for each in self.world.log])

    @invariant()
    def with_an_unknown_outcome_it_stays_where_it_was(self) -> None:
        assert not self.world.strays, [each.name for each in self.world.log]

    def teardown(self) -> None:
        world = self.world
        world.settle()
        assert not world.too_many_copies(), (world.copies, [each.name for each in world.log])
        assert world.owed() == {}
        ended: dict[str, Any] = {}
        for fact in world.log[1:]:
            for each in fact.data.get("recipients", []):
                ended[each["address"]] = (each["outcome"], fact.data.get("next_at"))
        assert set(ended) == {ADA, BOB}, "somebody was never answered for"
        taken = {address for address, _ in world.copies}
        for address, (outcome, _) in ended.items():
            assert outcome != "deferred", "somebody still waits, and nothing is due"
            assert outcome != "accepted" or address in taken, "the log says that it was sent, and it was not"


def test_any_order_keeps_the_two_promises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver_email, "_BREATH", 0)  # the world's own steps are the only clock
    AnyOrder.steps = 0
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            derandomize=True,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert AnyOrder.steps > RUNS * 10, f"only {AnyOrder.steps} steps were taken"
