"""The one door to NATS: nothing else imports nats-py."""

from libs.common.bus.connection import Bus, PubAck, StreamState
from libs.common.bus.errors import (
    BusError,
    ConsumerGoneError,
    NoStreamError,
    NotConnectedError,
    PublishUnknownError,
    RefusedError,
    StreamFullError,
    WrongSequenceError,
)
from libs.common.bus.message import Message
from libs.common.bus.pull import Puller

__all__ = [
    "Bus",
    "BusError",
    "ConsumerGoneError",
    "Message",
    "NoStreamError",
    "NotConnectedError",
    "PubAck",
    "PublishUnknownError",
    "Puller",
    "RefusedError",
    "StreamFullError",
    "StreamState",
    "WrongSequenceError",
]
