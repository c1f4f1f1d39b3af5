"""Guessed passwords: who is refused, who is only slowed down, and who notices nothing."""

import pytest

from services.gateway.auth.throttle_rules import Throttle, caller_from

ANN, BOB = "ann@example.com", "bob@example.com"


def test_a_pair_of_account_and_address_is_refused_after_five_misses() -> None:
    throttle, waits = Throttle(), []
    for _ in range(13):
        waits.append(throttle.refused_for(caller_from(ANN, "192.0.2.1"), 0.0))
        throttle.missed(caller_from(ANN, "192.0.2.1"), 0.0)
    assert waits == [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60]


def test_the_owner_gets_in_from_every_other_address() -> None:
    throttle = Throttle()
    for second in range(600):
        attacker = caller_from(ANN, "192.0.2.1")
        for _ in range(5):
            if throttle.refused_for(attacker, second) == 0:
                throttle.missed(attacker, second)
        owner = caller_from(ANN, f"198.51.100.{second % 250}")
        assert throttle.refused_for(owner, second) == 0
        assert throttle.delay(owner, second) <= 3.0


def test_an_address_that_tries_many_accounts_is_refused() -> None:
    throttle = Throttle()
    for number in range(20):
        assert throttle.refused_for(caller_from(f"{number}@example.com", "192.0.2.1"), 0.0) == 0
        throttle.missed(caller_from(f"{number}@example.com", "192.0.2.1"), 0.0)
    assert throttle.refused_for(caller_from(ANN, "192.0.2.1"), 0.0) == 1
    assert throttle.refused_for(caller_from(ANN, "192.0.2.2"), 0.0) == 0


def test_an_account_that_many_addresses_try_is_slowed_and_never_refused() -> None:
    throttle, delays = Throttle(), []
    for number in range(16):
        caller = caller_from(ANN, f"192.0.2.{number}")
        assert throttle.refused_for(caller, 0.0) == 0
        delays.append(throttle.delay(caller, 0.0))
        throttle.missed(caller, 0.0)
    assert delays == [0.0] * 10 + [0.1, 0.2, 0.4, 0.8, 1.6, 3.0]
    assert throttle.delay(caller_from(BOB, "192.0.2.1"), 0.0) == 0


def test_the_right_password_frees_pair_and_account() -> None:
    throttle, caller = Throttle(), caller_from(ANN, "192.0.2.1")
    for _ in range(21):
        throttle.missed(caller, 0.0)
    throttle.matched(caller)
    assert throttle.delay(caller, 0.0) == 0
    assert throttle.refused_for(caller_from(BOB, "192.0.2.1"), 0.0) == 1, "the address had twenty misses of others"
    assert throttle.refused_for(caller_from(ANN, "192.0.2.9"), 0.0) == 0


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("192.0.2.1", "192.0.2.2", False),
        (None, None, True),
    ],
)
def test_an_ipv6_address_counts_by_its_network(one: str | None, other: str | None, same: bool) -> None:  # noqa: FBT001
    assert (caller_from(ANN, one) == caller_from(f" {ANN.upper()} ", other)) is same


def test_misses_are_forgotten_after_a_quarter_of_an_hour() -> None:
    throttle, caller = Throttle(), caller_from(ANN, "192.0.2.1")
    for _ in range(12):
        throttle.missed(caller, 0.0)
    assert throttle.delay(caller, 1_000.0) == 0
    throttle.missed(caller, 1_000.0)
    assert throttle.refused_for(caller, 1_000.0) == 0


def test_memory_is_bounded() -> None:
    throttle = Throttle()
    for number in range(20_000):
        throttle.missed(caller_from(f"{number}@example.com", f"2001:db8:{number:x}::1"), 0.0)
    assert len(throttle._misses) <= 30_000
