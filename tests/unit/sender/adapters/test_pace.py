"""Turns come evenly, in order, and never faster than allowed, however many wait and whatever changes meanwhile."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from services.sender.adapters.pace import CATCH_UP, Pace


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


async def turns(pace: Pace, *, waiting: int, seconds: float) -> list[float]:
    """When turns were taken, in seconds after the first, by so many who wait again at once."""
    taken: list[float] = []

    async def one() -> None:
        while True:
            await pace.wait()
            taken.append(time.monotonic())

    tasks = [asyncio.create_task(one()) for _ in range(waiting)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return [each - taken[0] for each in taken]


@pytest.mark.parametrize("per_second", [20.0, 100.0])
async def test_no_window_holds_more_turns_than_the_rate_allows(per_second: float) -> None:
    taken = await turns(Pace(per_second), waiting=8, seconds=1.2)
    assert len(taken) > per_second / 3, "it limits, it does not stand still"
    for number, each in enumerate(taken):
        assert each >= number / per_second - CATCH_UP


async def test_a_rate_below_one_a_second_spaces_its_turns() -> None:
    pace = Pace(0.2)
    await pace.wait()
    second = asyncio.create_task(pace.wait())
    done, _ = await asyncio.wait([second], timeout=0.3)
    assert not done
    assert 4.0 < pace._until_turn() <= 5.0
    second.cancel()


async def test_no_limit_is_no_wait() -> None:
    pace = Pace(None)
    async with asyncio.timeout(1):
        for _ in range(1_000):
            await pace.wait()


async def test_a_higher_limit_counts_for_those_who_wait_already() -> None:
    pace = Pace(0.01)
    await pace.wait()
    waiting = asyncio.create_task(pace.wait())
    await asyncio.sleep(0.01)
    pace.limit(1_000)
    async with asyncio.timeout(1):
        await waiting


async def test_a_waiter_who_leaves_takes_no_turn_with_him() -> None:
    pace = Pace(2.0)
    await pace.wait()
    began = time.monotonic()
    leaver, waiter = asyncio.create_task(pace.wait()), asyncio.create_task(pace.wait())
    await asyncio.sleep(0.05)
    leaver.cancel()
    await waiter
    assert time.monotonic() - began < 0.9


def told(clock: Clock, pace: Pace, after: float, what: Callable[[], None]) -> float | None:
    clock.now += after
    what()
    return pace.rate


def test_too_fast_halves_the_pace_once_for_all_who_are_told_together() -> None:
    clock = Clock()
    pace = Pace(8.0, clock)
    assert told(clock, pace, 0, pace.slow_down) == 4.0
    assert told(clock, pace, 0.1, pace.slow_down) == 4.0
    assert told(clock, pace, 1.0, pace.slow_down) == 2.0


def test_success_brings_the_pace_back_and_never_above_the_limit() -> None:
    clock = Clock()
    pace = Pace(8.0, clock)
    pace.slow_down()
    assert told(clock, pace, 10, pace.speed_up) == pytest.approx(4.0 * 2**0.5)
    assert told(clock, pace, 60, pace.speed_up) == 8.0
    assert told(clock, pace, 60, pace.speed_up) == 8.0


async def test_without_a_limit_it_is_slowed_from_the_pace_it_had() -> None:
    clock = Clock()
    pace = Pace(None, clock)
    for _ in range(40):
        await pace.wait()
    assert told(clock, pace, 0.5, pace.slow_down) == 20.0
    assert told(clock, pace, 300, pace.speed_up) is None


def test_nobody_is_slowed_to_a_standstill() -> None:
    clock = Clock()
    pace = Pace(1.0, clock)
    for _ in range(50):
        clock.now += 2
        pace.slow_down()
    assert pace.rate == 0.1
    slow = Pace(0.05, clock)
    slow.slow_down()
    assert slow.rate == 0.05
