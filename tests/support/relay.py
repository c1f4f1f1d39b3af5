"""A relay that does what a script says: accept everything by default, misbehave at any stage when told to.

    script = {"RCPT:bob@b.example": say("550 5.1.1 no such user"), "dot": [lose(), say("250 ok")]}
    async with ScriptedRelay(script) as relay:
        ...                                     # speak SMTP with 127.0.0.1, relay.port
        relay.messages[0].recipients            # envelope, raw message, the session it came in
        relay.sessions[0].commands              # every command line as it came

Keys of a script: `connect`, the verbs (`EHLO`, `HELO`, `STARTTLS`, `AUTH`, `MAIL`, `RCPT`, `DATA`, `RSET`,
`NOOP`, `QUIT`), MAIL or RCPT with the address (`RCPT:bob@b.example`), AUTH with the mechanism (`AUTH:PLAIN`),
`content` (when the first content has arrived), `dot` (when the whole message has). A value is one act, done always,
or a list of acts, done one after the other, then the default.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Self

from tests.support.relay_conversation import Conversation, SessionOver
from tests.support.relay_script import Act, Received, Script, Session, close, hang, lose, raw, reset, say

__all__ = [
    "Act",
    "Received",
    "Script",
    "ScriptedRelay",
    "Session",
    "close",
    "hang",
    "lose",
    "raw",
    "reset",
    "say",
]

EXTENSIONS = ("PIPELINING", "SIZE 10485760", "8BITMIME", "ENHANCEDSTATUSCODES", "SMTPUTF8")


class ScriptedRelay:
    """An asyncio server on a random port of 127.0.0.1, in this process."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        extensions: Sequence[str] = EXTENSIONS,
        tls: Literal["none", "starttls", "implicit"] = "none",
        certificate: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
        mechanisms: Sequence[str] = ("PLAIN", "LOGIN"),
        login_way: Literal["usual", "no initial response", "asks again"] = "usual",
        challenges: tuple[str, str] = ("VXNlcm5hbWU6", "UGFzc3dvcmQ6"),
        port: int = 0,
    ) -> None:
        self.script = dict(script or {})
        self.extensions: Sequence[str] = extensions
        self.tls = tls
        self.certificate = certificate
        self.login = login
        self.mechanisms: Sequence[str] = mechanisms
        self.login_way = login_way
        self.challenges = challenges
        self.port = port
        self.messages: list[Received] = []
        self.sessions: list[Session] = []
        self.server_names: list[str | None] = []
        """The names that clients asked for in their handshakes (SNI)."""
        self.open_sessions = 0
        self.most_open = 0
        self._reached: dict[str, int] = {}
        self._news = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        if self.certificate is not None:
            self.certificate.sni_callback = lambda _tls, name, _context: self.server_names.append(name)
        implicit = self.certificate if self.tls == "implicit" else None
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, ssl=implicit, limit=1 << 26)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def reached(self, stage: str, times: int = 1) -> None:
        """Return when `stage` has been reached so many times, in all sessions together."""
        async with self._news:
            await self._news.wait_for(lambda: self._reached.get(stage, 0) >= times)

    async def received(self, count: int) -> None:
        """Return when so many messages have been taken."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.messages) >= count)

    async def deserted(self) -> None:
        """Return when no session is open any more."""
        async with self._news:
            await self._news.wait_for(lambda: self.open_sessions == 0)

    async def take(self, message: Received) -> None:
        """A message has been received."""
        self.messages.append(message)
        await self._tell()

    async def _tell(self) -> None:
        """Wake whoever waits."""
        async with self._news:
            self._news.notify_all()

    async def act(self, stage: str, argument: str = "") -> Act | None:
        """What the script wants at `stage`, one use of it; None is the default."""
        act: Act | None = None
        for key in (f"{stage}:{argument}", stage) if argument else (stage,):
            self._reached[key] = self._reached.get(key, 0) + 1
            planned = self.script.get(key)
            if planned is None or act is not None:
                continue
            if isinstance(planned, Act):
                act = planned
            elif self._reached[key] <= len(planned):
                act = planned[self._reached[key] - 1]
        await self._tell()
        return act

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        session = Session(tls=self.tls == "implicit")
        self.sessions.append(session)
        self.open_sessions += 1
        self.most_open = max(self.most_open, self.open_sessions)
        try:
            await Conversation(self, session, reader, writer).run()
        except (SessionOver, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # an ended session is what many scripts are about
        except asyncio.CancelledError:
            pass  # the test is over; a cancelled handler would be logged by the streams
        finally:
            writer.transport.abort() if session.closed.is_set() else writer.close()
            session.closed.set()
            self.open_sessions -= 1
            self._tasks.discard(task)
            with contextlib.suppress(asyncio.CancelledError):
                await self._tell()
