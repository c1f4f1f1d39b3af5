"""Token buckets."""

from hypothesis import given
from hypothesis import strategies as st

from libs.common.token_buckets import TokenBuckets


@given(
    rate=st.floats(0.01, 100),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 10), min_size=1, max_size=200),
)
def test_no_caller_takes_more_than_burst_and_rate_allow(rate: float, burst: int, gaps: list[float]) -> None:
    buckets, now, taken = TokenBuckets(rate, burst, 10), 0.0, 0
    for gap in gaps:
        now += gap
        passes, left = buckets.take("a", now)
        taken += passes
        assert 0 <= left <= burst
        assert taken <= burst + rate * now + 1e-6


def test_memory_is_bounded_by_those_seen_last() -> None:
    buckets = TokenBuckets(0.001, 1, remembered=2)
    assert [buckets.take(caller, 0.0)[0] for caller in "abac"] == [True, True, False, True]
    assert len(buckets) == 2
    assert buckets.take("a", 0.0)[0] is False
    assert buckets.take("b", 0.0)[0] is True, "b was forgotten"
