from services.gateway.domain.throttle import Throttle

NAMES = ("account a", "ip 1")


def test_five_misses_are_free_then_the_wait_doubles_up_to_a_minute() -> None:
    throttle, waits = Throttle(), []
    for _ in range(13):
        waits.append(throttle.wait(NAMES, 0.0))
        throttle.missed(NAMES, 0.0)
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_an_address_that_tries_many_accounts_is_slowed_too() -> None:
    throttle = Throttle()
    for number in range(5):
        throttle.missed((f"account {number}", "ip 1"), 0.0)
    assert throttle.wait(("account new", "ip 1"), 0.0) == 1
    assert throttle.wait(("account new", "ip 2"), 0.0) == 0


def test_the_right_password_frees_the_account_and_gives_the_address_that_try_back() -> None:
    throttle = Throttle()
    for _ in range(6):
        throttle.missed(NAMES, 0.0)
    throttle.matched(*NAMES)
    assert throttle.wait(("account a",), 0.0) == 0
    assert throttle.wait(("ip 1",), 0.0) == 1


def test_misses_are_forgotten_after_a_quarter_of_an_hour() -> None:
    throttle = Throttle()
    for _ in range(6):
        throttle.missed(NAMES, 0.0)
    throttle.missed(NAMES, 1_000.0)
    assert throttle.wait(NAMES, 1_000.0) == 0


def test_memory_is_bounded() -> None:
    throttle = Throttle()
    for number in range(10_010):
        throttle.missed((f"ip {number}",), 0.0)
    assert len(throttle._misses) <= 10_000
