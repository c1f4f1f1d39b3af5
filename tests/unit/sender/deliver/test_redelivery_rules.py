"""Row by row: when the log is asked, and when an attempt may have been begun by somebody who is gone."""

from dataclasses import replace

import pytest

from services.sender.deliver.redelivery_rules import Handed, is_suspect, may_have_been_begun

NOW = 1_000_000.0
FRESH = Handed(
    attempt=1,
    due_at=NOW,
    stored_at=NOW + 0.002,
    num_delivered=1,
    connected_at=NOW - 100,
    index=500,
    window=40,
    counted_since=NOW - 1_000,
)


def test_a_fresh_first_attempt_is_sent_without_a_question() -> None:
    assert not is_suspect(FRESH)


@pytest.mark.parametrize(
    "why",
    [
        {"num_delivered": 2},
        {"attempt": 2},
        {"connected_at": NOW + 1},
        {"connected_at": NOW - 1},
        {"stored_at": NOW + 61},
    ],
)
def test_each_reason_alone_makes_it_suspect(why: dict[str, float]) -> None:
    assert is_suspect(replace(FRESH, **why))  # type: ignore[arg-type]  # ints and floats of the right fields


def test_what_was_due_before_the_connect_is_suspect_however_late_a_mended_queue_stored_it_again() -> None:
    """Sourcing a damaged queue's history anew takes a while: seconds after the reconnect, and not yet a minute late."""
    again = replace(FRESH, due_at=NOW - 20, connected_at=NOW - 10)
    assert is_suspect(again)


def test_what_was_due_before_the_queue_was_made_is_suspect() -> None:
    assert is_suspect(replace(FRESH, counted_since=NOW + 5))


def test_a_message_delivered_before_may_have_been_begun_wherever_it_stands() -> None:
    assert may_have_been_begun(replace(FRESH, num_delivered=2))


def test_after_a_reconnect_the_first_ones_may_have_been_in_somebodys_hands() -> None:
    old = replace(FRESH, due_at=NOW - 2_000)
    assert may_have_been_begun(replace(old, index=39))
    assert not may_have_been_begun(replace(old, index=40))


def test_a_count_of_one_is_believed_for_what_became_due_under_this_server() -> None:
    assert not may_have_been_begun(replace(FRESH, index=0))
    assert may_have_been_begun(replace(FRESH, index=0, due_at=NOW - 1_001))


def test_where_the_servers_start_is_not_known_the_connection_tells_what_may_have_been_handed_out_before() -> None:
    retry = replace(FRESH, attempt=2, index=0, counted_since=None)
    assert is_suspect(retry)
    assert not may_have_been_begun(retry)
    assert may_have_been_begun(replace(retry, connected_at=NOW - 1))
    assert may_have_been_begun(replace(retry, connected_at=NOW + 1))
    assert may_have_been_begun(replace(retry, num_delivered=2))
