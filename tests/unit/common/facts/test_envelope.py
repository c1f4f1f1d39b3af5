"""The envelope: what is written is read, and ids sort by time."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.facts import Actor, decode, new_envelope, parse, timestamp, upcast, uuid7, uuid7_time
from libs.common.facts.email import EmailDeferred, EmailOpened, RecipientOutcome, shard_of

AT = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
EMAIL = UUID("01a203b2-690c-7117-8d35-46a4ce2231dc")
ACTOR = Actor(id="key/1", kind="key", user_id=1, ip="127.0.0.1", user_agent="curl")


def deferred() -> EmailDeferred:
    return EmailDeferred(
        email_id=EMAIL,
        attempt=1,
        provider_id=3,
        recipients=[RecipientOutcome(address="a@b.example", outcome="deferred", smtp_code=451, text="later")],
        next_at=AT,
    )


def test_a_fact_is_read_as_it_was_written() -> None:
    envelope = new_envelope(deferred(), source="sender", actor=ACTOR, at=AT, correlation_id="r1")
    read = decode(envelope.encode(), log_subject=envelope.log_subject, stream="MAIL_EVENTS", sequence=7)
    assert parse(read) == deferred()
    assert (read.name, read.subject, read.at, read.correlationid) == (
        "email.deferred",
        f"email/{EMAIL}",
        AT,
        "r1",
    )
    assert (read.stream, read.sequence, read.actor) == ("MAIL_EVENTS", 7, ACTOR.model_dump())


def test_the_subject_of_a_fact_names_the_shard_and_the_event() -> None:
    assert deferred().log_subject() == "mail.email.dc.deferred"
    assert EmailOpened(email_id=EMAIL, ip_address=None, user_agent=None).log_subject() == "track.dc.opened"


def test_an_unknown_type_is_no_fact_of_ours_and_no_error() -> None:
    envelope = decode(
        b'{"id":"1","source":"s","type":"email.teleported.v1","subject":"email/1","time":"","data":{}}',
        log_subject="mail.email.00.teleported",
        stream="MAIL_EVENTS",
        sequence=1,
    )
    assert parse(envelope) is None


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"id":"1"}', b"\xff"])
def test_what_is_no_envelope_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(payload, log_subject="mail.x", stream="MAIL_EVENTS", sequence=1)


def test_old_versions_are_lifted_step_by_step() -> None:
    steps = {
        "thing.done.v1": ("thing.done.v2", lambda data: {**data, "b": data["a"] + 1}),
        "thing.done.v2": ("thing.done.v3", lambda data: {**data, "c": data["b"] + 1}),
    }
    assert upcast("thing.done.v1", {"a": 1}, steps) == ("thing.done.v3", {"a": 1, "b": 2, "c": 3})


@given(st.integers(min_value=0, max_value=2**48 - 1))
def test_an_id_holds_its_time(milliseconds: int) -> None:
    made = uuid7(milliseconds)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert uuid7_time(made) == milliseconds / 1000


@given(st.integers(0, 2**47), st.integers(1, 10_000))
def test_ids_of_later_times_sort_later(milliseconds: int, later: int) -> None:
    assert str(uuid7(milliseconds)) < str(uuid7(milliseconds + later))


def test_other_versions_hold_no_time() -> None:
    assert uuid7_time(UUID("f47ac10b-58cc-4372-a567-0e02b2c3d479")) is None


@given(st.datetimes(timezones=st.just(UTC)), st.datetimes(timezones=st.just(UTC)))
def test_timestamps_sort_as_text(one: datetime, other: datetime) -> None:
    assert (one < other) == (timestamp(one) < timestamp(other)) or min(one.year, other.year) < 1000


@given(st.uuids())
def test_the_shard_is_the_last_byte(email_id: UUID) -> None:
    assert shard_of(email_id) == str(email_id)[-2:]
