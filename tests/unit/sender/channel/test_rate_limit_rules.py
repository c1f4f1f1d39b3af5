"""Turns come evenly and never faster than allowed, whatever changes meanwhile."""

from collections.abc import Callable

import pytest

from services.sender.channel.rate_limit_rules import CATCH_UP, RateLimit


def turns(rate_limit: RateLimit, *, seconds: float, late: float = 0.0) -> list[float]:
    """When turns are taken by somebody who always wants one and whose timers fire so much too late."""
    taken, now = [], 100.0
    while now < 100 + seconds:
        rate_limit.take(now)
        taken.append(now - 100)
        now += max(0.0, rate_limit.until_turn(now)) + late
    return taken


@pytest.mark.parametrize("late", [0.0, 0.001, CATCH_UP, 0.02])
@pytest.mark.parametrize("per_second", [0.2, 20.0, 100.0])
def test_no_window_holds_more_turns_than_the_rate_allows(per_second: float, late: float) -> None:
    taken = turns(RateLimit(per_second), seconds=20, late=late)
    assert len(taken) > 20 * per_second / (1 + per_second * late) * 0.95, "it limits, it does not stand still"
    for number, each in enumerate(taken):
        assert each >= number / per_second - CATCH_UP - 1e-6


def test_no_limit_is_no_wait() -> None:
    rate_limit = RateLimit(None)
    rate_limit.take(1.0)
    assert rate_limit.until_turn(1.0) == 0


def test_a_higher_limit_counts_from_the_last_turn_on() -> None:
    rate_limit = RateLimit(0.01)
    rate_limit.take(1.0)
    assert rate_limit.until_turn(1.0) == pytest.approx(100, abs=CATCH_UP)
    rate_limit.per_second = 1_000
    assert rate_limit.until_turn(1.001) <= 0


def told(rate_limit: RateLimit, now: float, what: Callable[[float], None]) -> float | None:
    what(now)
    return rate_limit.rate


def test_simultaneous_throttling_halves_the_rate_once() -> None:
    rate_limit = RateLimit(8.0)
    assert told(rate_limit, 100, rate_limit.slow_down) == 4.0
    assert told(rate_limit, 100.1, rate_limit.slow_down) == 4.0
    assert told(rate_limit, 101.1, rate_limit.slow_down) == 2.0


def test_success_brings_the_pace_back_and_never_above_the_limit() -> None:
    rate_limit = RateLimit(8.0)
    rate_limit.slow_down(100)
    assert told(rate_limit, 110, rate_limit.speed_up) == pytest.approx(4.0 * 2**0.5)
    assert told(rate_limit, 170, rate_limit.speed_up) == 8.0
    assert told(rate_limit, 230, rate_limit.speed_up) == 8.0


def test_without_a_limit_it_is_slowed_from_the_pace_it_had() -> None:
    rate_limit = RateLimit(None)
    for _ in range(40):
        rate_limit.take(100)
    assert told(rate_limit, 100.5, rate_limit.slow_down) == 20.0
    assert told(rate_limit, 400, rate_limit.speed_up) is None


def test_nobody_is_slowed_to_a_standstill() -> None:
    rate_limit = RateLimit(1.0)
    for number in range(50):
        rate_limit.slow_down(100 + 2 * number)
    assert rate_limit.rate == 0.1
    slow = RateLimit(0.05)
    slow.slow_down(200)
    assert slow.rate == 0.05
