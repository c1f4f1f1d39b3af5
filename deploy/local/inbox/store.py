"""The newest messages, on disk with their summaries in memory: they survive a restart, and memory stays bounded.

Messages lie one after another in segment files, each as a line of JSON (the summary, with the length of what
follows) and the message as it came. A segment is deleted once every message in it is too old to be shown.
Nothing is synced to disk: a power cut may cost the inbox its last messages, never the system a fact.
"""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path

from deploy.local.inbox.message import message_id_and_subject

KEPT = 5_000  # messages
PER_SEGMENT = 1_000


@dataclass(frozen=True, slots=True)
class Summary:
    """A message as the list shows it."""

    id: int
    received_at: str
    mail_from: str
    rcpt_to: list[str]
    message_id: str | None
    subject: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    segment: int
    offset: int
    size: int


class Mailbox:
    """Holds the segment being written. One process, one thread."""

    def __init__(self, directory: Path, *, kept: int = KEPT, per_segment: int = PER_SEGMENT) -> None:
        """Reads what an earlier process left; a message that was cut short is not there."""
        directory.mkdir(parents=True, exist_ok=True)
        self._directory, self._kept, self._per_segment = directory, kept, per_segment
        self._messages: deque[tuple[Summary, _Place]] = deque(maxlen=kept)
        self._count = 0  # messages in the segment being written
        self._segment = 0
        for number in self._segments():
            self._messages.extend(self._read(number))
        self._file = self._opened(self._segment)

    def close(self) -> None:
        self._file.close()

    def add(self, mail_from: str, rcpt_to: list[str], raw: bytes) -> Summary:
        message_id, subject = message_id_and_subject(raw)
        newest = self._messages[-1][0].id if self._messages else 0
        received_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        summary = Summary(newest + 1, received_at, mail_from, rcpt_to, message_id, subject)
        if self._count >= self._per_segment:
            self._file.close()
            self._segment, self._count = self._segment + 1, 0
            self._file = self._opened(self._segment)
            self._forget_old()
        head = json.dumps({"size": len(raw), **asdict(summary)}).encode() + b"\n"
        offset = self._file.tell() + len(head)
        self._file.write(head + raw)
        self._count += 1
        self._messages.append((summary, _Place(self._segment, offset, len(raw))))
        return summary

    def page(self, to: str | None, page: int, page_size: int) -> tuple[list[Summary], int]:
        """Newest first, and how many there are; `to` is a recipient, upper and lower case being equal."""
        wanted = to.casefold() if to is not None else None
        found = [
            summary
            for summary, _ in reversed(self._messages)
            if wanted is None or wanted in [address.casefold() for address in summary.rcpt_to]
        ]
        first = (page - 1) * page_size
        return found[first : first + page_size], len(found)

    def get(self, id: int) -> tuple[Summary, bytes] | None:
        """A message as it came, or None when it is not, or no longer, here."""
        if not self._messages:
            return None
        index = id - self._messages[0][0].id  # ids have no gaps
        if not 0 <= index < len(self._messages):
            return None
        summary, place = self._messages[index]
        with self._path(place.segment).open("rb") as file:
            file.seek(place.offset)
            return summary, file.read(place.size)

    def _opened(self, number: int) -> FileIO:
        # Unbuffered: what was acknowledged is with the operating system, whatever becomes of this process.
        return self._path(number).open("ab", buffering=0)

    def _forget_old(self) -> None:
        oldest = self._messages[0][1].segment if self._messages else self._segment
        for number in self._segments():
            if number < oldest:
                self._path(number).unlink()

    def _read(self, number: int) -> Iterator[tuple[Summary, _Place]]:
        path, end, self._count = self._path(number), 0, 0
        length = path.stat().st_size
        with path.open("rb") as file:
            for line in iter(file.readline, b""):
                try:
                    head = json.loads(line)
                    size = head.pop("size")
                except (ValueError, KeyError):
                    break
                place = _Place(number, file.tell(), size)
                if place.offset + size > length:
                    break
                end = place.offset + size
                file.seek(end)
                self._count += 1
                yield Summary(**head), place
        if end < length:
            with path.open("r+b") as file:
                file.truncate(end)
        self._segment = number

    def _segments(self) -> list[int]:
        return sorted(int(path.stem) for path in self._directory.glob("*.mail") if path.stem.isdecimal())

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:08}.mail"
