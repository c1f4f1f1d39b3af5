"""How much one visitor and one email may put into the log."""

from services.tracking.hits.limit_rules import EmailLimit, VisitorLimit


def test_a_visitor_has_a_burst_and_then_a_rate() -> None:
    limit = VisitorLimit(per_second=10, burst=5)
    assert [limit.admits("a", 0.0) for _ in range(6)] == [True] * 5 + [False]
    assert [limit.admits("a", 0.2) for _ in range(3)] == [True, True, False]
    assert limit.admits("b", 0.2)
    assert [limit.admits("a", 100.0) for _ in range(6)] == [True] * 5 + [False]


def test_the_visitors_seen_last_are_remembered() -> None:
    limit = VisitorLimit(per_second=0.001, burst=1, remembered=2)
    assert limit.admits("a", 0.0)
    assert limit.admits("b", 0.0)
    assert not limit.admits("a", 0.0)
    assert limit.admits("c", 0.0)
    assert not limit.admits("a", 0.0)
    assert limit.admits("b", 0.0), "b was forgotten, and starts afresh"


def test_an_email_has_so_many_hits_and_no_more() -> None:
    limit = EmailLimit(per_email=2)
    assert [limit.admits(7) for _ in range(3)] == [True, True, False]
    assert limit.admits(8)


def test_a_hit_that_comes_again_is_counted_once() -> None:
    limit = EmailLimit(per_email=1)
    assert limit.admits(7)
    limit.returned(7)
    assert limit.admits(7)
    assert not limit.admits(7)
    limit.returned(9)
    assert limit.admits(9)
