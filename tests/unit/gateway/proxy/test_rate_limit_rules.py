from services.gateway.proxy.rate_limit_rules import RateLimit


def test_a_burst_of_one_second_passes_and_the_next_waits() -> None:
    limit = RateLimit(3)
    assert [limit.take("key/1", 10.0).retry_after for _ in range(4)] == [0, 0, 0, 1]


def test_tokens_come_back_with_time_and_never_beyond_the_burst() -> None:
    limit = RateLimit(2)
    for _ in range(2):
        limit.take("a", 0.0)
    assert limit.take("a", 0.4).retry_after == 1
    assert limit.take("a", 0.5).retry_after == 0
    assert limit.take("a", 100.0).remaining == 1


def test_each_key_has_its_own_bucket() -> None:
    limit = RateLimit(1)
    assert limit.take("a", 0.0).retry_after == 0
    assert limit.take("b", 0.0).retry_after == 0
    assert limit.take("a", 0.0).retry_after == 1


def test_a_slow_rate_says_how_long_to_wait_and_when_the_bucket_is_full() -> None:
    limit = RateLimit(0.25)
    first, second = limit.take("a", 0.0), limit.take("a", 0.0)
    assert (first.limit, first.remaining, first.reset, first.retry_after) == (1, 0, 4, 0)
    assert (second.retry_after, second.reset) == (4, 4)


def test_waiting_as_long_as_was_said_is_enough() -> None:
    limit = RateLimit(0.3)
    limit.take("a", 0.0)
    wait = limit.take("a", 0.0).retry_after
    assert limit.take("a", float(wait)).retry_after == 0


def test_the_three_headers_are_whole_numbers() -> None:
    assert RateLimit(5).take("a", 0.0).headers() == [
        (b"ratelimit-limit", b"5"),
        (b"ratelimit-remaining", b"4"),
        (b"ratelimit-reset", b"1"),
    ]
