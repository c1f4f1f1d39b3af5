"""However many workers there are, in whatever order they came: their shares add up to the whole and never to more."""

import random

import pytest

from services.sender.channel.share_rules import ALONE, Share, share_of


@pytest.mark.parametrize("seed", range(300))
def test_shares_of_any_workers_add_up_to_the_whole(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - nothing secret
    ids = [f"{dice.getrandbits(64):x}" for _ in range(dice.randrange(1, 40))]
    limit, rate = dice.randrange(0, 200), dice.uniform(0.01, 1_000)
    shares = [share_of(each, dice.sample(ids, len(ids))) for each in ids]
    connections = [each.connections(limit) for each in shares]
    assert sum(connections) == limit
    assert max(connections) - min(connections) <= 1
    rates = [each.rate(rate, limit) or 0.0 for each in shares if each.connections(limit)]
    assert sum(rates) <= rate * (1 + 1e-9)
    assert not rates or sum(rates) >= rate * (1 - 1e-9)
    assert [each.goes_without(limit) for each in shares] == [each == 0 for each in connections]


@pytest.mark.parametrize("seed", range(100))
def test_while_some_have_not_joined_the_others_leave_them_their_share(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311 - nothing secret
    ids = [f"{dice.getrandbits(64):x}" for _ in range(dice.randrange(2, 12))]
    limit = dice.randrange(0, 50)
    joined = {each: dice.random() < 0.5 for each in ids}
    shares = {each: share_of(each, ids, joined=joined[each]) for each in ids}
    full = {each: share_of(each, ids) for each in ids}
    for each in ids:
        assert shares[each].connections(limit) == (full[each].connections(limit) if joined[each] else 0)
        assert not (shares[each].goes_without(limit) and not joined[each]), "who has not joined yet waits"


def test_a_lone_worker_has_everything() -> None:
    assert share_of("a", []) == share_of("a", ["a"]) == ALONE
    assert (ALONE.connections(7), ALONE.rate(0.2, 7), ALONE.rate(None, 7)) == (7, 0.2, None)


def test_the_first_ones_get_the_rest_and_the_last_ones_nothing() -> None:
    assert [Share(3, position).connections(5) for position in range(3)] == [2, 2, 1]
    assert [Share(4, position).connections(2) for position in range(4)] == [1, 1, 0, 0]
