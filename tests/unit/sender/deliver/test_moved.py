"""Which copies of a moved attempt are believed to be the only one."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.redelivery_rules import PUBLISHED_WITHIN, Handed, just_moved, moved_again

NOW = 1_767_225_600.0
AT = datetime.fromtimestamp(NOW, UTC)
HOME = Attempt(UUID("019b7600-0000-7000-8000-0000000000ab"), 1, 1, "normal", AT, AT, 17)
MOVED = replace(HOME, provider_id=2, tried=(1,))
FRESH = Handed(
    attempt=1,
    due_at=NOW,
    stored_at=NOW + 0.002,
    num_delivered=1,
    connected_at=NOW - 0.5,
    index=0,
    window=40,
    counted_since=None,
)


def test_what_was_moved_a_moment_ago_is_sent_without_a_question() -> None:
    assert just_moved(MOVED, FRESH)
    assert just_moved(replace(MOVED, number=2), replace(FRESH, attempt=2))
    assert not moved_again(MOVED, FRESH)


@pytest.mark.parametrize(
    "why",
    [
        {"num_delivered": 2},
        {"connected_at": NOW + 0.1},
        {"counted_since": NOW + 0.1},
        {"stored_at": NOW + PUBLISHED_WITHIN + 0.1},
    ],
)
def test_each_reason_alone_makes_it_one_that_is_asked_about(why: dict[str, float]) -> None:
    assert not just_moved(MOVED, replace(FRESH, **why))  # type: ignore[arg-type]  # ints and floats of the right fields


def test_a_copy_that_comes_late_may_be_a_second_one() -> None:
    assert moved_again(MOVED, replace(FRESH, stored_at=NOW + PUBLISHED_WITHIN + 0.1))


def test_an_attempt_that_was_never_moved_is_none_of_this() -> None:
    assert not just_moved(HOME, FRESH)
    assert not moved_again(HOME, replace(FRESH, stored_at=NOW + 1_000))
