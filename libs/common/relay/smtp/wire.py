"""The two directions of one SMTP connection: replies parsed strictly as they come, bytes written and drained.

aiosmtplib opens, encrypts and logs in; then this protocol takes over its transport, because only with our own
hands on the wire can we say on which side of the final dot something broke.
"""

import asyncio
from collections import deque
from typing import Literal, NamedTuple

_LINE_LIMIT = 8192  # RFC 5321 section 4.5.3.1.5 says 512; relays are wordier
_REPLY_LIMIT = 65536
_UNREAD_LIMIT = 4096  # replies; more than any transaction can ask for


class Reply(NamedTuple):
    """A whole reply; the lines of its text are joined by spaces."""

    code: int
    text: str


class WireBroken(Exception):
    """No (further) reply can be had from this connection; it must not be used again."""

    def __init__(self, how: Literal["lost", "silent", "malformed"]) -> None:
        super().__init__(how)
        self.how = how


class Wire(asyncio.Protocol):
    """An established SMTP session. One task at a time."""

    def __init__(self, transport: asyncio.Transport, extensions: dict[str, str]) -> None:
        self.transport = transport
        self.extensions = extensions
        """EHLO keywords in lower case, with their parameters."""
        self.pipelining = "pipelining" in extensions
        self.messages = 0
        """How many transactions were begun on it."""
        self.kept = False
        """It has been idle, so it may have died unnoticed."""
        self.needs_reset = False
        """A transaction was begun and never finished: RSET comes first next time."""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._replies: deque[Reply] = deque()
        self._buffer = bytearray()
        self._lines: list[bytes] = []
        self._size = 0
        self._code = b""
        self._broken: WireBroken | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._paused = False
        self._leaving: asyncio.TimerHandle | None = None
        transport.set_protocol(self)
        # Drained means: nothing left with us. So the writer is paused as soon as one byte stays behind. Plain
        # transports pause above the limit, TLS transports at it (seen in CPython 3.11.7 and uvloop 0.23).
        transport.set_write_buffer_limits(high=1 if transport.get_extra_info("sslcontext") else 0, low=0)

    # ------------------------------------------------------------ for the caller

    @property
    def usable(self) -> bool:
        """Alive and silent: unasked words on an idle connection are a farewell or a muddle."""
        quiet = not self._replies and not self._buffer and not self._lines
        return quiet and self._broken is None and not self.transport.is_closing()

    def write(self, data: bytes) -> None:
        """Hand bytes to the transport. Raises `WireBroken` if the connection is known to be gone."""
        if self._broken is not None or self.transport.is_closing():
            raise self._broken or WireBroken("lost")
        self.transport.write(data)

    async def drained(self, timeout: float) -> None:
        """Return when the transport holds nothing of ours any more. Raises `WireBroken`.

        A plain transport has given everything to the operating system then, TLS to the transport below it.
        """
        if self._paused and self._broken is None:
            self._writer = self._loop.create_future()
            try:
                async with asyncio.timeout(timeout):
                    await self._writer
            except TimeoutError:
                self._break("silent")
            finally:
                self._writer = None
        if self._broken is not None:
            raise self._broken

    def early(self) -> Reply | None:
        """A reply that is already here although nothing was asked; None when there is none."""
        return self._replies.popleft() if self._replies else None

    async def reply(self, timeout: float) -> Reply:
        """The next reply, in order. Replies that arrived before the connection broke still count.

        Raises `WireBroken`.
        """
        while not self._replies:
            if self._broken is not None:
                raise self._broken
            self._reader = self._loop.create_future()
            try:
                async with asyncio.timeout(timeout):
                    await self._reader
            except TimeoutError:
                self._break("silent")
            finally:
                self._reader = None
        return self._replies.popleft()

    def abort(self) -> None:
        """Close at once, unsent bytes discarded."""
        self.transport.abort()

    def leave(self, timeout: float) -> None:
        """Say QUIT and close when it is answered, or after `timeout` seconds (RFC 5321 section 4.1.1.10)."""
        if self._broken is not None or self.transport.is_closing():
            self.transport.abort()
            return
        self._leaving = self._loop.call_later(timeout, self.transport.abort)
        self.transport.write(b"QUIT\r\n")

    # ------------------------------------------------------------ for the transport

    def data_received(self, data: bytes) -> None:
        if self._leaving is not None:
            self.transport.close()
            return
        self._buffer += data
        try:
            self._parse()
        except ValueError:
            self._break("malformed")
        if self._reader is not None and self._replies and not self._reader.done():
            self._reader.set_result(None)

    def eof_received(self) -> None:
        self._break("lost")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc  # whatever it is, the connection is gone
        self._break("lost")
        if self._leaving is not None:
            self._leaving.cancel()
        if not self.closed.done():
            self.closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)

    def _break(self, how: Literal["lost", "silent", "malformed"]) -> None:
        if self._broken is None:
            self._broken = WireBroken(how)
        for waiter in (self._reader, self._writer):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def _parse(self) -> None:
        """Move whole replies out of the buffer. Raises `ValueError` for others (RFC 5321 section 4.2)."""
        start = 0
        while (end := self._buffer.find(b"\n", start)) >= 0:
            self._line(bytes(self._buffer[start:end]).rstrip(b"\r"))
            start = end + 1
        del self._buffer[:start]
        if len(self._buffer) > _LINE_LIMIT or len(self._replies) > _UNREAD_LIMIT:
            raise ValueError("too long")

    def _line(self, line: bytes) -> None:
        code, mark = line[:3], line[3:4]
        if not code.isdigit() or not b"200" <= code < b"600" or mark not in (b" ", b"-", b""):
            raise ValueError("no reply line")
        if self._lines and code != self._code:
            raise ValueError("a reply with two codes")
        self._code = code
        self._lines.append(line[4:])
        self._size += len(line) + 2
        if self._size > _REPLY_LIMIT:
            raise ValueError("too long")
        if mark != b"-":
            text = b" ".join(self._lines).decode("utf-8", "replace")
            self._lines, self._size = [], 0
            self._replies.append(Reply(int(code), text))
