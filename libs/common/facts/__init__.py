"""The dictionary of this domain: every fact there is, and the envelope around it."""

from libs.common.facts.envelope import Actor, Envelope, Fact, decode, new_envelope, timestamp, uuid7, uuid7_time
from libs.common.facts.registry import FACTS, parse, upcast

__all__ = [
    "FACTS",
    "Actor",
    "Envelope",
    "Fact",
    "decode",
    "new_envelope",
    "parse",
    "timestamp",
    "upcast",
    "uuid7",
    "uuid7_time",
]
