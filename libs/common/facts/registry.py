"""From stored facts to today's models: every type ever published is readable for ever.

A changed meaning is a new version with a pure upcaster from the one before; the log is never rewritten.
"""

from collections.abc import Callable, Mapping
from typing import Any

from libs.common.facts import domain, email, key, provider, user
from libs.common.facts.envelope import Envelope, Fact

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]

FACTS: Mapping[str, type[Fact]] = {
    model.TYPE: model for module in (email, provider, domain, key, user) for model in module.FACTS
}

UPCASTERS: Mapping[str, tuple[str, Upcaster]] = {}
"""Old type → (next type, pure function over `data`). Empty as long as every fact is at its first version."""


def upcast(
    type_: str, data: dict[str, Any], upcasters: Mapping[str, tuple[str, Upcaster]] = UPCASTERS
) -> tuple[str, dict[str, Any]]:
    """Lift `data` version by version until no upcaster knows its type."""
    while (step := upcasters.get(type_)) is not None:
        type_, data = step[0], step[1](data)
    return type_, data


def parse(envelope: Envelope) -> Fact | None:
    """The fact as today's model; None for a type this code does not know (skip it and count it).

    Raises pydantic's ValidationError when the data does not fit: that fact is poison.
    """
    type_, data = upcast(envelope.type, envelope.data)
    model = FACTS.get(type_)
    return None if model is None else model.model_validate(data)
