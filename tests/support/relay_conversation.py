"""One session of the scripted relay: SMTP as relays speak it, the script's word first at every stage."""

import asyncio
import base64
import itertools
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from tests.support.relay_script import Act, Received, Session

_ADDRESS = re.compile(rb"<([^>]*)>")


class Playing(Protocol):
    """The relay whose session it is."""

    extensions: Sequence[str]
    tls: Literal["none", "starttls", "implicit"]
    certificate: ssl.SSLContext | None
    login: tuple[str, str] | None
    mechanisms: Sequence[str]
    login_way: Literal["usual", "no initial response", "asks again"]
    challenges: tuple[str, str]

    async def act(self, stage: str, argument: str = "") -> Act | None: ...

    async def take(self, message: Received) -> None: ...


@dataclass(slots=True)
class _Envelope:
    mail_from: str
    parameters: str
    recipients: list[str] = field(default_factory=list)


class SessionOver(Exception):
    """The session has ended."""


class Conversation:
    """One session's talk."""

    def __init__(
        self,
        relay: Playing,
        session: Session,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.relay = relay
        self.session = session
        self.reader = reader
        self.writer = writer
        self.envelope: _Envelope | None = None
        self.logged_in = False

    async def run(self) -> None:
        await self._do("connect", "220 relay.test ESMTP")
        steps: dict[str, Callable[[bytes], Awaitable[None]]] = {
            "EHLO": self._ehlo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "QUIT": self._quit,
        }
        while True:
            line = await self._line()
            self.session.commands.append(line)
            verb = line.split(b" ")[0].upper().decode("ascii", "replace")
            step = steps.get(verb)
            if step is not None:
                await step(line)
            elif verb in {"HELO", "NOOP"}:
                await self._do(verb, "250 ok")
            else:
                await self._do(verb, "500 5.5.2 what?")

    async def _do(self, stage: str, default: str, argument: str = "") -> bool:
        """Play the act of this stage; True if the reply that was said is a positive one."""
        act = await self.relay.act(stage, argument) or Act()
        reply = default.encode().replace(b"\n", b"\r\n") + b"\r\n" if act.reply is None else act.reply
        await self._perform(act, reply)
        return reply[:1] in {b"2", b"3"}

    async def _perform(self, act: Act, reply: bytes) -> None:
        if act.delay:
            await asyncio.sleep(act.delay)  # slowness is what is played here
        for start, end in itertools.pairwise((0, *act.pieces, len(reply))):
            if start:
                await asyncio.sleep(act.pause)
            self.writer.write(reply[start:end])
            await self.writer.drain()
        if act.then == "hang":
            await self.reader.read()
            raise SessionOver
        if act.then == "reset":
            # Closing with nothing lingering sends RST; the loop's own socket object may not take options.
            with socket.fromfd(
                self.writer.get_extra_info("socket").fileno(), socket.AF_INET, socket.SOCK_STREAM
            ) as same:
                same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.session.closed.set()
            raise SessionOver
        if act.then == "close":
            raise SessionOver

    async def _line(self) -> bytes:
        line = await self.reader.readline()
        if not line.endswith(b"\n"):
            raise SessionOver
        return line.rstrip(b"\r\n")

    async def _ehlo(self, _line: bytes) -> None:
        offers = list(self.relay.extensions)
        if self.relay.tls == "starttls" and not self.session.tls:
            offers.append("STARTTLS")
        if self.relay.login and self.relay.mechanisms and (self.session.tls or self.relay.tls == "none"):
            offers.append("AUTH " + " ".join(self.relay.mechanisms))
        lines = ["relay.test", *offers]
        last = len(lines) - 1
        await self._do("EHLO", "\n".join(f"250{' ' if n == last else '-'}{text}" for n, text in enumerate(lines)))

    async def _starttls(self, _line: bytes) -> None:
        if not await self._do("STARTTLS", "220 go ahead"):
            return
        assert self.relay.certificate is not None
        # StreamReader has no public way to look at what has arrived and was not read.
        self.session.before_tls = bytes(self.reader._buffer)  # type: ignore[attr-defined]
        await self.writer.start_tls(self.relay.certificate)
        self.session.tls = True

    async def _auth(self, line: bytes) -> None:
        parts = line.split(b" ")
        mechanism = parts[1].upper().decode() if len(parts) > 1 else ""
        if mechanism == "PLAIN":
            initial = parts[2] if len(parts) > 2 else await self._asked("")
            _, user, password = base64.b64decode(initial).split(b"\0")
        elif mechanism == "LOGIN":
            if len(parts) > 2 and self.relay.login_way == "no initial response":
                await self._do("AUTH:LOGIN <user>", "501 5.5.2 cannot decode AUTH parameter")
                return
            named = len(parts) > 2 and self.relay.login_way != "asks again"
            user = base64.b64decode(parts[2] if named else await self._asked(self.relay.challenges[0]))
            password = base64.b64decode(await self._asked(self.relay.challenges[1]))
        else:
            await self._do("AUTH", "504 5.5.4 mechanism not known")
            return
        self.session.login = (mechanism, user.decode(), password.decode())
        right = self.relay.login == (user.decode(), password.decode())
        default = "235 2.7.0 welcome" if right else "535 5.7.8 credentials invalid"
        self.logged_in = await self._do("AUTH", default, mechanism)

    async def _asked(self, challenge: str) -> bytes:
        self.writer.write(f"334 {challenge}\r\n".encode())
        await self.writer.drain()
        return await self._line()

    async def _mail(self, line: bytes) -> None:
        found = _ADDRESS.search(line)
        address = found.group(1).decode("utf-8", "replace") if found else ""
        if self.envelope is not None:
            await self._do("MAIL", "503 5.5.1 nested MAIL", address)
        elif self.relay.login and not self.logged_in:
            await self._do("MAIL", "530 5.7.0 authentication required", address)
        elif await self._do("MAIL", "250 2.1.0 sender ok", address):
            parameters = line[found.end() :].decode("utf-8", "replace").strip() if found else ""
            self.envelope = _Envelope(address, parameters)

    async def _rcpt(self, line: bytes) -> None:
        found = _ADDRESS.search(line)
        address = found.group(1).decode("utf-8", "replace") if found else ""
        if self.envelope is None:
            await self._do("RCPT", "503 5.5.1 MAIL first", address)
        elif await self._do("RCPT", "250 2.1.5 recipient ok", address):
            self.envelope.recipients.append(address)

    async def _data(self, _line: bytes) -> None:
        if self.envelope is None or not self.envelope.recipients:
            if not await self._do("DATA", "503 5.5.1 nobody to send to"):
                return
        elif not await self._do("DATA", "354 go ahead"):
            return
        content = await self._content()
        envelope, self.envelope = self.envelope, None
        act = await self.relay.act("dot") or Act()
        reply = b"250 2.0.0 queued as T1\r\n" if act.reply is None else act.reply
        kept = act.message_kept if act.message_kept is not None else reply.startswith(b"2")
        if kept and envelope is not None and envelope.recipients:
            recipients = tuple(envelope.recipients)
            message = Received(envelope.mail_from, recipients, content, envelope.parameters, self.session)
            await self.relay.take(message)
        await self._perform(act, reply)

    async def _content(self) -> bytes:
        """Lines up to the lone dot, leading dots removed (RFC 5321 section 4.5.2)."""
        lines: list[bytes] = []
        while (line := await self.reader.readuntil(b"\r\n")) != b".\r\n":
            if not lines and (act := await self.relay.act("content")) is not None:
                await self._perform(act, act.reply or b"")
            lines.append(line.removeprefix(b"."))
        return b"".join(lines)

    async def _rset(self, _line: bytes) -> None:
        if await self._do("RSET", "250 2.0.0 forgotten"):
            self.envelope = None

    async def _quit(self, _line: bytes) -> None:
        await self._do("QUIT", "221 2.0.0 bye")
        raise SessionOver
