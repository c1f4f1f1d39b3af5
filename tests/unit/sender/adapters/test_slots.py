"""A limit that changes while places are taken and waited for is never exceeded by those who come in after it."""

import asyncio
import random

import pytest

from services.sender.adapters.slots import Slots
from services.sender.ports import NoSlotsError


async def passed() -> None:
    """Let every task run as far as it can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_after_a_smaller_limit_nobody_comes_in_until_enough_have_left() -> None:
    slots = Slots(3)
    for _ in range(3):
        await slots.acquire()
    slots.resize(1)
    assert not slots.within
    waiting = asyncio.create_task(slots.acquire())
    for left in (2, 1):
        slots.release()
        await passed()
        assert slots.taken == left
        assert not waiting.done()
    slots.release()
    await waiting
    assert (slots.taken, slots.within) == (1, True)


async def test_a_larger_limit_lets_those_in_who_wait() -> None:
    slots = Slots(0)
    waiting = [asyncio.create_task(slots.acquire()) for _ in range(3)]
    await passed()
    slots.resize(2)
    await passed()
    assert [each.done() for each in waiting] == [True, True, False]
    waiting[2].cancel()


async def test_who_waits_where_no_place_will_be_is_turned_away() -> None:
    slots = Slots(1)
    await slots.acquire()
    waiting = asyncio.create_task(slots.acquire())
    await passed()
    slots.resize(0, turn_away=True)
    with pytest.raises(NoSlotsError):
        await waiting
    with pytest.raises(NoSlotsError):
        await slots.acquire()
    slots.release()
    slots.resize(1)
    await slots.acquire()


async def test_a_place_given_to_somebody_who_was_cancelled_goes_to_the_next() -> None:
    slots = Slots(1)
    await slots.acquire()
    first, second = asyncio.create_task(slots.acquire()), asyncio.create_task(slots.acquire())
    await passed()
    slots.release()
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert slots.taken == 1


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_nobody_comes_in_over_the_limit_and_no_place_is_lost(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - nothing secret
    slots = Slots(dice.randrange(4))
    inside = 0

    async def visitor() -> None:
        nonlocal inside
        await slots.acquire()
        try:
            inside += 1
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
        finally:
            inside -= 1
            slots.release()

    tasks: list[asyncio.Task[None]] = []
    for _ in range(200):
        before, what = slots.taken, dice.random()
        if what < 0.6:
            tasks.append(asyncio.create_task(visitor()))
        elif what < 0.8 and tasks:
            dice.choice(tasks).cancel()
        else:
            slots.resize(dice.randrange(4))
        await asyncio.sleep(0)
        assert inside <= slots.taken <= max(before, slots.limit)
    slots.resize(4)
    await asyncio.wait(tasks, timeout=5)
    assert (slots.taken, inside) == (0, 0)
