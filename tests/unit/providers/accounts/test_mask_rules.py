"""Masks: enough to recognise a secret, not enough to use it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.providers.accounts.mask_rules import mask


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", "***"),
        ("a", "***"),
        ("12345678", "***"),
        ("123456789", "1234...6789"),
        ("AKIAIOSFODNN7EXAMPLE", "AKIA...MPLE"),
    ],
)
def test_short_ones_are_hidden_and_long_ones_show_their_ends(value: str, expected: str) -> None:
    assert mask(value) == expected


@given(st.text(min_size=9))
def test_no_mask_shows_more_than_eight_characters_of_a_secret(value: str) -> None:
    shown = mask(value)
    assert len(shown) == 11
    assert value.startswith(shown[:4])
    assert value.endswith(shown[-4:])
