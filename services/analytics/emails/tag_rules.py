"""How a tag is written as a key: in counters, in indexes and in filters."""

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from services.analytics.text_rules import clean

EVERYTHING = ""
"""The key of the counters over all emails, tagged or not."""

LONGEST = 256
"""Characters. A btree entry has at most 2,704 bytes, a tag has no limit in the contract."""


def tag_key(text: str) -> str:
    """`x` or `name:value` as it is stored; a very long one keeps its beginning and is told apart by its hash."""
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 65]}#{sha256(text.encode()).hexdigest()}"


def tag_keys(tags: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys of an email's tags, each once, in their order; an empty tag is none."""
    texts = (tag["name"] if tag.get("value") is None else f"{tag['name']}:{tag['value']}" for tag in tags)
    return list(dict.fromkeys(tag_key(clean(text)) for text in texts if text))


def tag_shown(tag: Mapping[str, Any]) -> str | dict[str, Any]:
    """A tag as it was given: a bare string, or a name with its value."""
    return tag["name"] if tag.get("value") is None else {"name": tag["name"], "value": tag["value"]}
