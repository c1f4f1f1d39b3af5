"""Folds the audit trail: one slim row for each fact that is an operation, and the names that actors had.

An email's row is written for every email there is, so it holds only what is filtered and sorted by. Ip addresses, user
agents and details are looked up in the copy of the log when a page is shown: personal data is in no second place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from libs.common.facts import Envelope
from services.analytics.audit.rules import OPERATIONS
from services.analytics.text_rules import clean

NAME = "audit"

STAGES: Mapping[str, tuple[str, ...]] = {
    "stage_audit": ("id", "created_at", "operation", "actor", "kind"),
    "stage_actor_names": ("actor", "since", "sequence", "name"),
}

_OPERATION_OF: Mapping[str, str] = {type_: operation.name for type_, operation in OPERATIONS.items()}

NAMED: Mapping[str, str] = {
    "key.created.v1": "key",
    "key.deleted.v1": "key",
    "user.created.v1": "user",
    "user.updated.v1": "user",
}
"""Fact type → the member of its data that is somebody with an id and a name; an actor's id is `key/1` or `user/1`."""

LONGEST_NAME = 512
"""Characters. The contract allows fewer; a btree entry has at most 2,704 bytes, and none may stop a read model."""

UNKNOWN = ("unknown", "system")


def fold(facts: Sequence[Envelope]) -> Mapping[str, list[tuple[Any, ...]]]:
    """One row for each operation, one for each time somebody was named."""
    entries: list[tuple[Any, ...]] = []
    names: dict[tuple[str, str], tuple[int, str]] = {}
    for fact in facts:
        operation = _OPERATION_OF.get(fact.type)
        if operation is None:
            continue
        actor = fact.actor
        who, kind = (clean(actor["id"]), actor["kind"]) if actor is not None else UNKNOWN
        entries.append((fact.id, fact.time, operation, who, kind))
        if (member := NAMED.get(fact.type)) is not None:
            somebody = fact.data[member]
            named = (fact.sequence, clean(somebody["name"])[:LONGEST_NAME])
            key = (f"{member}/{somebody['id']}", fact.time)
            names[key] = max(names.get(key, named), named)
    return {
        "stage_audit": entries,
        "stage_actor_names": [(actor, since, *named) for (actor, since), named in names.items()],
    }
