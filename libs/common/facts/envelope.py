"""The envelope of every fact: CloudEvents 1.0 attribute names, and who caused it.

Source: CloudEvents 1.0.2 section 2 (context attributes). `correlationid` is the request's id, `causationid` the
fact that led to this one. `stream` and `sequence` are known once a fact has been read from the log.
"""

import os
import time
from datetime import UTC, datetime
from typing import Any, ClassVar, NamedTuple
from uuid import UUID

import orjson
from pydantic import BaseModel, ConfigDict


class Actor(BaseModel):
    """Who did it: the audit trail. `kind` is `key`, `session`, `anonymous` or `system`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    kind: str
    user_id: int | None = None
    ip: str | None = None
    user_agent: str | None = None


class Fact(BaseModel):
    """Something that happened. Frozen, past tense; unknown fields are ignored so that readers may be older."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    TYPE: ClassVar[str]
    """Versioned type string, for instance `email.accepted.v1`."""

    def aggregate(self) -> str:
        """The CloudEvents `subject`: what it happened to, for instance `email/<id>` or `provider/3`."""
        raise NotImplementedError

    def log_subject(self) -> str:
        """The NATS subject it is appended on."""
        raise NotImplementedError


class Envelope(NamedTuple):
    """A fact as stored: `data` is the fact's JSON object, checked when it was written, raw when it is read.

    A named tuple, because a frozen dataclass takes four times as long to make, and one is made of every fact read.
    """

    id: str
    source: str
    type: str
    subject: str
    time: str
    data: dict[str, Any]
    actor: dict[str, Any] | None = None
    correlationid: str | None = None
    causationid: str | None = None
    log_subject: str = ""
    stream: str | None = None
    sequence: int = 0

    @property
    def name(self) -> str:
        """The type without its version: `email.accepted`."""
        return self.type.rpartition(".v")[0]

    @property
    def at(self) -> datetime:
        """`time` as an aware datetime in UTC."""
        return datetime.fromisoformat(self.time)

    def encode(self) -> bytes:
        """The JSON that is published: CloudEvents in structured mode."""
        return orjson.dumps(
            {
                "specversion": "1.0",
                "id": self.id,
                "source": self.source,
                "type": self.type,
                "subject": self.subject,
                "time": self.time,
                "correlationid": self.correlationid,
                "causationid": self.causationid,
                "actor": self.actor,
                "data": self.data,
            }
        )


def new_envelope(
    fact: Fact,
    *,
    source: str,
    actor: Actor,
    at: datetime,
    correlation_id: str | None = None,
    causation_id: str | None = None,
    fact_id: str | None = None,
) -> Envelope:
    """Wrap a fact that is about to be appended. `source` is the service (`sender`), `at` an aware time."""
    return Envelope(
        id=fact_id or str(uuid7()),
        source=f"/services/{source}",
        type=fact.TYPE,
        subject=fact.aggregate(),
        time=timestamp(at),
        data=fact.model_dump(mode="json"),
        actor=actor.model_dump(mode="json"),
        correlationid=correlation_id,
        causationid=causation_id,
        log_subject=fact.log_subject(),
    )


def decode(payload: bytes, *, log_subject: str, stream: str, sequence: int) -> Envelope:
    """Read what `encode` wrote. Raises ValueError when it is not a fact's JSON."""
    try:
        raw = orjson.loads(payload)
        return Envelope(
            raw["id"],
            raw["source"],
            raw["type"],
            raw["subject"],
            raw["time"],
            raw["data"],
            raw.get("actor"),
            raw.get("correlationid"),
            raw.get("causationid"),
            log_subject,
            stream,
            sequence,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a fact at {stream} {sequence}: {error!r}") from error


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with microseconds and `Z`: sorts as text."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def uuid7(milliseconds: int | None = None) -> UUID:
    """A time-ordered id (RFC 9562 section 5.7): 48 bits of Unix milliseconds, the rest random."""
    at = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds
    value = (at & 0xFFFFFFFFFFFF) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def uuid7_time(identifier: UUID) -> float | None:
    """The Unix time in seconds in a version 7 id, or None for any other version."""
    if identifier.version != 7:
        return None
    return (identifier.int >> 80) / 1000
