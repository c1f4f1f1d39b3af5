"""The second copy of the log, fact by fact: the timeline is read from it, and a damaged log is mended from it.

Each column is what the envelope said; `actor` and `data` are kept as the very text of the log (json, not jsonb), so
that a fact can be put together again byte for byte. No rebuild touches it.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from libs.common.facts import Envelope

NAME = "facts"
SCHEMA = "log"
REBUILT = False
RAW = True
STAGES = {
    "stage_facts": (
        "id",
        "stream",
        "sequence",
        "log_subject",
        "type",
        "source",
        "subject",
        "time",
        "email_id",
        "correlation_id",
        "causation_id",
        "actor",
        "data",
    )
}


def fold(facts: Sequence[Envelope]) -> dict[str, list[tuple[Any, ...]]]:
    """One row for each fact, of every type."""
    dumps = orjson.dumps
    return {
        "stage_facts": [
            (
                fact.id,
                fact.stream,
                fact.sequence,
                fact.log_subject,
                fact.type,
                fact.source,
                fact.subject,
                fact.time,
                fact.subject[6:] if fact.subject.startswith("email/") else None,
                fact.correlationid,
                fact.causationid,
                None if fact.actor is None else dumps(fact.actor).decode(),
                dumps(fact.data).decode(),
            )
            for fact in facts
        ]
    }
