"""The circuit of a provider that cannot be reached."""

from services.sender.domain.breaker import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, Breaker


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
