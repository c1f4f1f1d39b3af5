"""What a worker says when it is asked whether it has an attempt in hand."""

import time
from datetime import UTC, datetime

from libs.common.facts import uuid7
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.message import Message
from services.sender.channel.send_gate import SendGate
from services.sender.cluster.peers import ASKS, HOLDS, NO, UNTOUCHED, holding
from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.in_flight import InFlight, LeasedMessage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def in_hand(age: float = 0.0) -> tuple[InFlight, LeasedMessage]:
    """One message that was asked for so many seconds ago; nothing is connected."""
    in_flight = InFlight(Bus("nats://127.0.0.1:1", name="test"), SendGate(lambda: True, lambda: False), ack_wait=30.0)
    attempt = Attempt(uuid7(), 1, 1, "normal", NOW, NOW, 1)
    held = in_flight.take(Message("queue.ready.1.normal", b"", {}, received=time.monotonic() - age), attempt)
    assert held is not None
    return in_flight, held


def test_what_is_being_worked_on_is_held() -> None:
    in_flight, held = in_hand()
    assert holding(in_flight, held.attempt.key) == HOLDS
    email_id, number, provider_id = held.attempt.key
    assert holding(in_flight, (email_id, number + 1, provider_id)) == NO
    assert holding(in_flight, (email_id, number, provider_id + 1)) == NO


def test_expired_lease_protects_only_messages_past_the_dot() -> None:
    in_flight, held = in_hand(age=31.0)
    assert holding(in_flight, held.attempt.key) == NO
    held.dotted = True
    assert holding(in_flight, held.attempt.key) == HOLDS


def test_who_asks_himself_says_so() -> None:
    in_flight, held = in_hand()
    held.asking = True
    assert holding(in_flight, held.attempt.key) == ASKS


def test_what_was_let_go_untouched_is_given_away_once() -> None:
    in_flight, held = in_hand()
    in_flight.drop(held)
    in_flight.note_untouched(held.attempt.key)
    assert holding(in_flight, held.attempt.key) == UNTOUCHED
    assert holding(in_flight, held.attempt.key) == NO


def test_late_redelivery_does_not_age_the_lease() -> None:
    in_flight, held = in_hand(age=1.0)
    before = held.leased_at
    late = held.message._replace(received=before - 20, consumer_sequence=2)
    assert in_flight.take(late, held.attempt) is None
    assert (held.message, held.leased_at) == (late, before)
