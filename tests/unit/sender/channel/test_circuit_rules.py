"""The circuit of a provider that cannot be reached."""

from services.sender.channel.circuit_rules import (
    FAILURES,
    FIRST_PAUSE,
    LONGEST_PAUSE,
    LONGEST_QUOTA_PAUSE,
    QUOTA_PAUSE,
    SLOW_SECONDS,
    Breaker,
)


def opened(now: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker = breaker.failed(now)
    return breaker


def test_it_opens_after_five_failures_in_a_row() -> None:
    breaker = Breaker()
    for count in range(1, FAILURES + 1):
        breaker = breaker.failed(0.0)
        assert breaker.is_open is (count == FAILURES)


def test_a_success_between_them_starts_the_count_anew() -> None:
    breaker = Breaker().failed(0.0).failed(0.0).succeeded()
    assert breaker == Breaker()


def test_each_failed_try_doubles_the_pause_up_to_a_limit() -> None:
    breaker, pauses = opened(), []
    for _ in range(8):
        pauses.append(breaker.pause)
        breaker = breaker.failed(breaker.until)
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE


def test_failures_that_were_on_their_way_when_it_opened_change_nothing() -> None:
    breaker = opened(now=10.0)
    assert breaker.failed(10.5) == breaker


def test_a_failure_that_took_long_opens_it_at_once() -> None:
    assert not Breaker().failed(0.0, "refused", seconds=SLOW_SECONDS - 0.1).is_open
    breaker = Breaker().failed(0.0, "silence", seconds=SLOW_SECONDS)
    assert (breaker.is_open, breaker.until) == (True, FIRST_PAUSE)
    assert breaker.reason == "circuit open after 1 failure: silence"


def test_it_says_what_happened_last() -> None:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker = breaker.failed(0.0, "connection refused")
    assert breaker.reason == "circuit open after 5 failures: connection refused"


def test_a_used_up_quota_opens_it_for_minutes_and_for_longer_while_that_repeats() -> None:
    breaker, pauses = Breaker().exhausted(0.0, "Daily message quota exceeded"), []
    assert breaker.reason == "its quota is used up: Daily message quota exceeded"
    for _ in range(6):
        pauses.append(breaker.pause)
        breaker = breaker.exhausted(breaker.until)
    assert pauses[:3] == [QUOTA_PAUSE, 2 * QUOTA_PAUSE, 4 * QUOTA_PAUSE]
    assert pauses[-1] == LONGEST_QUOTA_PAUSE
    assert breaker.succeeded() == Breaker()


def test_messages_that_were_on_their_way_do_not_prolong_the_pause() -> None:
    breaker = Breaker().exhausted(0.0)
    assert breaker.exhausted(1.0) is breaker
    assert breaker.failed(1.0) is breaker


def test_a_try_for_the_quota_that_finds_nobody_there_is_soon_repeated() -> None:
    breaker = Breaker().exhausted(0.0).failed(QUOTA_PAUSE, "connection refused")
    assert (breaker.is_open, breaker.used_up, breaker.pause) == (True, False, FIRST_PAUSE)
