"""Hits that JetStream could not take, kept on disk until it can: append-only files, a checksum per line.

What is promised: a record is in the operating system's hands when `append` returns (it outlives this process), and
on the disk after the next `sync` (at most a tenth of a second later; a power cut may lose that much). Files are
removed only when every record in them has been dealt with, so a record may come twice and is never lost silently.
Damaged lines are counted and skipped: the next line break begins a good one again.
"""

import asyncio
import fcntl
import logging
import os
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

_SEGMENT_BYTES = 4 * 2**20


class SpoolTakenError(Exception):
    """Another process works with this directory."""


class Spool:
    """A queue of records on disk, oldest first. One process per directory."""

    def __init__(self, directory: Path, *, max_bytes: int, segment_bytes: int = _SEGMENT_BYTES) -> None:
        """Nothing is touched before `open`."""
        self._directory, self._max, self._segment_bytes = directory, max_bytes, segment_bytes
        self._closed: dict[Path, int] = {}
        self._active: Path | None = None
        self._file = -1
        self._lock = -1
        self._written = 0
        self._unsynced = False
        self.damaged = 0
        """Lines that were not what had been written."""

    def open(self) -> None:
        """Take the directory and find what an earlier process left. Raises `SpoolTakenError`, OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise SpoolTakenError(f"{self._directory} is another process's spool") from None
        self._closed = {path: path.stat().st_size for path in sorted(self._directory.glob("hits-*.spool"))}

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(self._closed.values()) + self._written

    def append(self, record: bytes) -> bool:
        """Add a record (one line, without a line break). False when there is no room, or the disk refuses."""
        line = b"%08x %s\n" % (zlib.crc32(record), record)
        if self.size + len(line) > self._max:
            return False
        try:
            if self._active is None:
                self._begin()
            if os.write(self._file, line) < len(line):
                # Half a record would spoil the next one.
                os.ftruncate(self._file, self._written)
                return False
        except OSError as error:
            log.error("the spool cannot be written: %s", error)  # noqa: TRY400 - the text says it all
            return False
        self._written += len(line)
        self._unsynced = True
        if self._written >= self._segment_bytes:
            self._end()
        return True

    async def sync(self) -> None:
        """Bring to the disk what was written; the waiting is done in a thread."""
        if not self._unsynced:
            return
        self._unsynced = False
        # A descriptor of its own: the file may be closed in the meantime.
        descriptor = os.dup(self._file)
        try:
            await asyncio.to_thread(_fsync, descriptor)
        finally:
            os.close(descriptor)

    def oldest(self) -> Path | None:
        """The file to deal with next; it is not written any more. None when there is nothing."""
        if not self._closed and self._active is not None:
            self._end()
        return next(iter(self._closed), None)

    def records(self, path: Path) -> Iterator[bytes]:
        """The records of a file, in order."""
        with path.open("rb") as file:
            for line in file:
                checksum, _, record = line.rstrip(b"\n").partition(b" ")
                if line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(record):
                    yield record
                else:
                    self.damaged += 1
                    log.error("a damaged line in %s was skipped", path.name)

    def remove(self, path: Path) -> None:
        """Every record of a file has been dealt with."""
        path.unlink(missing_ok=True)
        self._closed.pop(path, None)

    def close(self) -> None:
        """Sync and let go of the directory."""
        if self._active is not None:
            self._end()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _begin(self) -> None:
        path = self._directory / f"hits-{time.time_ns():020d}.spool"
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._active, self._written = path, 0
        directory = os.open(self._directory, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _end(self) -> None:
        if self._active is None:
            return
        _fsync(self._file)
        os.close(self._file)
        self._closed[self._active] = self._written
        self._active, self._file, self._written, self._unsynced = None, -1, 0, False


def _fsync(descriptor: int) -> None:
    """A disk that cannot is told of; the answers to the public go on."""
    try:
        os.fsync(descriptor)
    except OSError as error:
        log.error("the spool cannot be synced: %s", error)  # noqa: TRY400 - the text says it all
