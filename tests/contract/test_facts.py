"""Facts outlive code: what was ever published is read by today's models, and today's facts by yesterday's readers.

`schemas/<type>.json` is the JSON Schema of each version as first published. A new version gets a new file
(`python -m tests.contract.publish_schemas`, which never touches a file that exists).
"""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from libs.common.facts import FACTS, Envelope, parse
from libs.common.facts.registry import UPCASTERS
from tests.contract.examples import example, in_words_of, words

SCHEMAS = Path(__file__).parent / "schemas"
STORED = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(SCHEMAS.glob("*.json"))}
SEEDS = range(25)


def read(type_: str, data: dict[str, Any]) -> BaseModel | None:
    return parse(Envelope("id", "/services/test", type_, "s", "2026-01-01T00:00:00.000000Z", data))


def test_every_fact_has_its_schema_stored() -> None:
    assert set(FACTS) | set(UPCASTERS) == set(STORED)


@pytest.mark.parametrize("type_", sorted(STORED))
def test_what_was_published_is_read_by_todays_models(type_: str) -> None:
    for seed in SEEDS:
        data = example(STORED[type_], random.Random(seed))  # noqa: S311 - examples, not secrets
        Draft202012Validator(STORED[type_]).validate(data)
        assert read(type_, data) is not None


@pytest.mark.parametrize("type_", sorted(FACTS))
def test_todays_facts_are_read_by_yesterdays_readers(type_: str) -> None:
    schema = FACTS[type_].model_json_schema(mode="serialization")
    for seed in SEEDS:
        chance = random.Random(seed)  # noqa: S311 - as above
        # Yesterday's words: a word that is new is tried below, on readers that take every word.
        fact = read(type_, in_words_of(STORED[type_], example(schema, chance), chance))
        assert fact is not None
        Draft202012Validator(STORED[type_]).validate(fact.model_dump(mode="json"))


# The words that a newer version may add to. Each was closed once, and was widened under its type's name: a new version
# of the type would have made yesterday's readers skip the whole fact. That is compatible when every reader of the
# stored past takes a word that it does not know for an unknown one, as each service's `test_unknown_words.py` tries.
OPEN = {
    "provider.provider_type",
    "provider.smtp.encryption",
    "provider.unknown_policy",
    "route.reason",
    "stage",
    "policy",
    "origin",
}


def test_the_words_that_may_grow_are_open_and_no_others() -> None:
    today = {type_: words(model.model_json_schema(mode="serialization")) for type_, model in FACTS.items()}
    widened = {
        path for type_ in FACTS for path, closed in words(STORED[type_]).items() if closed and not today[type_][path]
    }
    narrowed = {
        path for type_ in FACTS for path, closed in words(STORED[type_]).items() if not closed and today[type_][path]
    }
    assert (widened, narrowed) == (OPEN, set())


@pytest.mark.parametrize("type_", sorted(FACTS))
def test_a_word_of_a_newer_version_is_read_and_kept(type_: str) -> None:
    data = example(FACTS[type_].model_json_schema(mode="serialization"), random.Random(3))  # noqa: S311 - as above
    for path in OPEN & words(STORED[type_]).keys():
        *parents, name = path.split(".")
        place: Any = data
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place[name] = "of-a-newer-version"
            fact = read(type_, data)
            assert fact is not None
            assert "of-a-newer-version" in fact.model_dump_json()


@pytest.mark.parametrize("type_", sorted(FACTS))
def test_unknown_members_are_ignored(type_: str) -> None:
    data = example(STORED[type_], random.Random(1))  # noqa: S311 - as above
    assert read(type_, {**data, "added_by_a_later_version": 1}) == read(type_, data)


@pytest.mark.parametrize("type_", sorted(FACTS))
def test_a_fact_knows_its_subject_in_the_log(type_: str) -> None:
    fact = FACTS[type_].model_validate(example(STORED[type_], random.Random(2)))  # noqa: S311 - as above
    stream = "track." if type_ in ("email.opened.v1", "email.clicked.v1") else "mail."
    assert fact.log_subject().startswith(stream)
    assert fact.aggregate().partition("/")[0] == type_.partition(".")[0]


@pytest.mark.parametrize("type_", sorted(FACTS))
def test_no_fact_has_room_for_a_secret_or_a_body(type_: str) -> None:
    names = set(_names(FACTS[type_].model_json_schema()))
    assert not names & {"password", "secret_access_key", "api_key", "html", "text_body", "html_body", "token"}


def _names(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = list(schema.get("properties", {}))
        return own + [name for value in schema.values() for name in _names(value)]
    if isinstance(schema, list):
        return [name for value in schema for name in _names(value)]
    return []
