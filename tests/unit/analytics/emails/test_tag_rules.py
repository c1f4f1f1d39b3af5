from typing import Any

from services.analytics.emails.tag_rules import LONGEST, tag_key, tag_keys, tag_shown


def test_a_tag_is_its_name_or_its_name_and_value() -> None:
    tags: list[dict[str, Any]] = [{"name": "x", "value": None}, {"name": "campaign", "value": "spring"}]
    assert tag_keys(tags) == ["x", "campaign:spring"]


def test_equal_keys_count_once_and_an_empty_tag_is_none() -> None:
    tags: list[dict[str, Any]] = [
        {"name": "a:b", "value": None},
        {"name": "a", "value": "b"},
        {"name": "", "value": None},
    ]
    assert tag_keys(tags) == ["a:b"]


def test_long_tags_stay_short_and_different() -> None:
    first, second = tag_key("long" * 1_000 + "1"), tag_key("long" * 1_000 + "2")
    assert first != second
    assert len(first) <= LONGEST
    assert tag_key("x" * LONGEST) == "x" * LONGEST


def test_a_tag_is_shown_as_it_was_given() -> None:
    assert tag_shown({"name": "x", "value": None}) == "x"
    assert tag_shown({"name": "x", "value": ""}) == {"name": "x", "value": ""}
