"""Append a fact, and know whether it was appended: a time-out is *unknown*, never *failed*.

The algorithm of one publish: same bytes, same `Nats-Msg-Id`, again and again for up to five seconds. An answer
`duplicate` means that an earlier try was stored. Error 10071 (wrong last sequence) after such a retry may be our own
write, because one server checks the sequence before the duplicate table: then the subject's last message decides.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from libs.common.errors import LogFullError, OutcomeUnknownError, UnavailableError
from libs.common.facts import Envelope
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import (
    BusError,
    NoStreamError,
    NotConnectedError,
    PublishUnknownError,
    RefusedError,
    StreamFullError,
    WrongSequenceError,
)
from libs.common.jetstream.streams import EVENTS, TRACKING

_PAUSE = 0.05
_MAX_PAUSE = 0.5
RACING_SECONDS = 10.0
"""For how long a change of a set is tried again that others were faster than; a try takes a few milliseconds."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Optimistic concurrency: the last sequence over `subject` (wildcards allowed) has to be `last`, 0 for none."""

    last: int
    subject: str


class SetView(Protocol):
    """The part of a view that `append_to_set` uses (`libs.common.jetstream.views.View`)."""

    set_name: str
    subject: str
    position: int

    async def refresh(self) -> bool:
        """Catch up with the set's last fact."""

    async def wait_for(self, sequence: int) -> bool:
        """Wait until the fact at `sequence` has been applied."""


async def append(bus: Bus, envelope: Envelope, *, expected: Expected | None = None, patience: float = 5.0) -> Envelope:
    """Append a fact; the same with its stream and sequence. Errors as of `publish_durably`."""
    sequence = await publish_durably(
        bus,
        envelope.log_subject,
        envelope.encode(),
        msg_id=envelope.id,
        expected=expected,
        patience=patience,
    )
    stream = TRACKING if envelope.log_subject.startswith("track.") else EVENTS
    return envelope._replace(stream=stream, sequence=sequence)


async def publish_durably(  # noqa: C901 - the rule has this many cases; they are read best together
    bus: Bus,
    subject: str,
    payload: bytes,
    *,
    msg_id: str,
    headers: Mapping[str, str] | None = None,
    expected: Expected | None = None,
    patience: float = 5.0,
) -> int:
    """Publish until the outcome is known, for at most `patience` seconds; the stream sequence.

    Raises UnavailableError (surely not stored), OutcomeUnknownError (may be stored), LogFullError,
    WrongSequenceError (somebody else was first), RefusedError (a fault of ours).
    """
    all_headers = {"Nats-Msg-Id": msg_id, **(headers or {})}
    if expected is not None:
        all_headers["Nats-Expected-Last-Subject-Sequence"] = str(expected.last)
        all_headers["Nats-Expected-Last-Subject-Sequence-Subject"] = expected.subject
    deadline, pause, unknown = time.monotonic() + patience, _PAUSE, False
    while True:
        left = deadline - time.monotonic()
        try:
            ack = await bus.publish(subject, payload, headers=all_headers, timeout=max(0.05, min(2.0, left)))
        except (NotConnectedError, NoStreamError):
            pass
        except PublishUnknownError:
            unknown = True
        except WrongSequenceError:
            if unknown and (ours := await _is_ours(bus, subject, msg_id, deadline)):
                return ours
            raise
        except StreamFullError as error:
            raise LogFullError(f"the stream of {subject} is full") from error
        else:
            return ack.sequence
        if time.monotonic() + pause >= deadline:
            break
        await asyncio.sleep(pause)
        pause = min(2 * pause, _MAX_PAUSE)
    if unknown:
        raise OutcomeUnknownError("JetStream did not answer: it may be stored, or not")
    raise UnavailableError("JetStream is away")


def while_racing(seconds: float = RACING_SECONDS) -> Iterator[None]:
    """Once, and again for so many seconds.

    Every lost race was won by one of the others, so with time all of them get through, however many there are. A count
    of tries would run out for the last ones.
    """
    until = time.monotonic() + seconds
    yield
    while time.monotonic() < until:
        yield


async def append_to_set(bus: Bus, view: SetView, decide: Callable[[], Envelope]) -> Envelope:
    """Append to a set of aggregates (`mail.<set>.*`) under optimistic concurrency over the whole set.

    `decide` makes the fact from the view's present state, or refuses by raising; after a lost race the view is
    brought up to date and it decides again. Returns once the view has applied the fact, and raises
    OutcomeUnknownError when it does not in time: the fact is stored, and a repeat would be another one.
    """
    for _ in while_racing():
        expected = Expected(view.position, view.subject)
        try:
            stored = await append(bus, decide(), expected=expected)
        except WrongSequenceError:
            if not await view.refresh():
                raise UnavailableError(f"the view of {view.set_name} does not catch up") from None
            continue
        if not await view.wait_for(stored.sequence):
            raise OutcomeUnknownError("It is stored, and not in force here yet: look before you repeat it.")
        return stored
    raise UnavailableError(f"too many others are changing {view.set_name} at the same time")


async def _is_ours(bus: Bus, subject: str, msg_id: str, deadline: float) -> int | None:
    """The sequence of the subject's last message when it carries our id."""
    while True:
        try:
            last = await bus.direct_last(EVENTS if subject.startswith("mail.") else TRACKING, subject)
        except RefusedError:
            raise
        except BusError:
            if time.monotonic() >= deadline:
                raise OutcomeUnknownError("JetStream did not answer: it may be stored, or not") from None
            await asyncio.sleep(_PAUSE)
            continue
        if last is not None and last.headers.get("Nats-Msg-Id") == msg_id:
            return last.sequence
        return None
