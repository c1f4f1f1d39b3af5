"""Examples out of a JSON Schema, as odd as it allows: optional members come and go, unions take every branch."""

import random
from typing import Any
from uuid import UUID

_FORMATS = {
    "date-time": lambda chance: (
        f"20{chance.randint(20, 40)}-0{chance.randint(1, 9)}-15T10:00:00.{chance.randint(0, 999999):06d}Z"
    ),
    "uuid": lambda chance: str(UUID(int=chance.getrandbits(128), version=4)),
}
_WORDS = ("", "a", "ü — 漢字 🎉", "x" * 80, "a@b.example", "line\nbreak")


def example(schema: dict[str, Any], chance: random.Random, root: dict[str, Any] | None = None) -> Any:
    """One instance of `schema`. Raises KeyError for a keyword that no fact uses yet."""
    root = schema if root is None else root
    if "$ref" in schema:
        return example(root["$defs"][schema["$ref"].rpartition("/")[2]], chance, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    if "anyOf" in schema:
        return example(chance.choice(schema["anyOf"]), chance, root)
    return _TYPES[schema["type"]](schema, chance, root)


def _object(schema: dict[str, Any], chance: random.Random, root: dict[str, Any]) -> dict[str, Any]:
    required = set(schema.get("required", ()))
    members = {
        name: example(inner, chance, root)
        for name, inner in schema.get("properties", {}).items()
        if name in required or chance.random() < 0.5
    }
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        members |= {chance.choice(_WORDS): example(more, chance, root) for _ in range(chance.randint(0, 3))}
    return members


_TYPES: Any = {
    "object": _object,
    "array": lambda schema, chance, root: [example(schema["items"], chance, root) for _ in range(chance.randint(0, 3))],
    "string": lambda schema, chance, _: (
        _FORMATS[schema["format"]](chance) if "format" in schema else chance.choice(_WORDS)
    ),
    "integer": lambda _, chance, __: chance.choice((0, 1, 3, 2**31)),
    "number": lambda _, chance, __: chance.choice((0, 0.5, 14)),
    "boolean": lambda _, chance, __: chance.random() < 0.5,
    "null": lambda *_: None,
}


def in_words_of(schema: dict[str, Any], data: Any, chance: random.Random, root: dict[str, Any] | None = None) -> Any:
    """`data` with every word that `schema` does not list replaced by one that it does; all else as it is."""
    root = schema if root is None else root
    if "$ref" in schema:
        return in_words_of(root["$defs"][schema["$ref"].rpartition("/")[2]], data, chance, root)
    if "enum" in schema:
        return data if data in schema["enum"] else chance.choice(schema["enum"])
    for branch in schema.get("anyOf", ()):
        if data is not None and branch.get("type") != "null":
            return in_words_of(branch, data, chance, root)
    if isinstance(data, dict):
        known = schema.get("properties", {})
        return {name: in_words_of(known.get(name, {}), value, chance, root) for name, value in data.items()}
    if isinstance(data, list):
        return [in_words_of(schema.get("items", {}), each, chance, root) for each in data]
    return data


def words(schema: dict[str, Any], root: dict[str, Any] | None = None, at: str = "") -> dict[str, bool]:
    """Every member that is a string, by dotted path; True where its words are listed."""
    root = schema if root is None else root
    if "$ref" in schema:
        return words(root["$defs"][schema["$ref"].rpartition("/")[2]], root, at)
    found: dict[str, bool] = {}
    for branch in (*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())):
        found |= words(branch, root, at)
    for name, inner in schema.get("properties", {}).items():
        found |= words(inner, root, f"{at}.{name}".lstrip("."))
    if schema.get("type") == "string" or "enum" in schema:
        found[at] = "enum" in schema
    return found
