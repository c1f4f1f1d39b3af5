"""The one connection of a process to NATS: publish and be told, ask and be answered, nothing hidden.

Why not nats-py's JetStream context: a publish whose connection breaks must end at once as *unknown*; futures of its
`publish_async` never resolve after a disconnect, and its publishes while disconnected are buffered in silence.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import nats.errors
import orjson
from nats.aio.client import Client

from libs.common.jetstream.errors import NoStreamError, NotConnectedError, PublishUnknownError, RefusedError, refusal
from libs.common.jetstream.message import Message, stored
from libs.common.jetstream.pull import Puller
from libs.common.tasks import end

log = logging.getLogger(__name__)

_CONNECT_PAUSE = 0.2
_PING_SECONDS = 5
_PENDING_BYTES = 32 * 2**20
_NO_RESPONDERS = "503"
_NOT_FOUND = frozenset({"404", "408"})


@dataclass(frozen=True, slots=True)
class PubAck:
    """JetStream's answer to a publish: it is on disk (sync always)."""

    stream: str
    sequence: int
    duplicate: bool


@dataclass(frozen=True, slots=True)
class StreamState:
    """The state of a stream; sizes in bytes, `max_bytes` -1 without a limit."""

    created: str
    first_sequence: int
    last_sequence: int
    messages: int
    bytes: int
    max_bytes: int
    num_deleted: int


class Bus:
    """One NATS connection. `start` returns at once; `connected` says whether there is a connection now."""

    def __init__(self, url: str, *, name: str) -> None:
        """`url` may hold several servers, separated by commas; `name` shows in the server's connection list."""
        self._servers = url.split(",")
        user = urlsplit(self._servers[0]).username
        # Nobody may listen to another's inbox, and an inbox without a user is everybody's (deploy/nats_users.py).
        self._inbox_prefix = f"_INBOX_{user}" if user else "_INBOX"
        self._name = name
        self._client = Client()
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._tokens = 0
        self._inbox = ""
        self._starter: asyncio.Task[None] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._closing = False
        self.connections = 0
        self.connected_at = 0.0
        self.errors = 0

    async def start(self) -> None:
        """Connect in the background, for ever."""
        self._starter = asyncio.create_task(self._connect(), name="nats-connect")

    async def close(self) -> None:
        """Flush what was written and close; errors of a dead connection are of no interest any more."""
        self._closing = True
        if self._starter is not None:
            # nats-py connects inside `asyncio.wait_for`; once cancelled in vain it would go on trying for ever.
            await end([self._starter])
            if not self._starter.cancelled():
                self._starter.result()
        if self.connected:
            with contextlib.suppress(nats.errors.Error, OSError, asyncio.TimeoutError):
                await self._client.flush(1)
        with contextlib.suppress(nats.errors.Error, OSError, asyncio.TimeoutError):
            await self._client.close()

    @property
    def connected(self) -> bool:
        """True if the connection is live and our inbox subscribed."""
        return bool(self._inbox) and self._client.is_connected

    def on_connect(self, callback: Callable[[], None]) -> None:
        """Call back after the first connect and after every reconnect."""
        self._callbacks.append(callback)

    async def wait_connected(self, timeout: float | None = None) -> bool:
        """Wait until there is a connection; False when `timeout` seconds have passed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while not self.connected:
            if deadline is not None and time.monotonic() >= deadline:
                return False
            await asyncio.sleep(0.02)
        return True

    async def publish(
        self, subject: str, payload: bytes, *, headers: Mapping[str, str] | None = None, timeout: float = 2.0
    ) -> PubAck:
        """Publish to a stream and wait for its answer.

        Raises NotConnectedError and NoStreamError (surely not stored), PublishUnknownError (may be stored),
        WrongSequenceError, StreamFullError or RefusedError (not stored).
        """
        reply = await self._ask(subject, payload, headers, timeout)
        if reply.headers and reply.headers.get("Status") == _NO_RESPONDERS:
            raise NoStreamError(subject)
        answer = orjson.loads(reply.data)
        if "error" in answer:
            raise refusal(answer["error"])
        return PubAck(answer["stream"], answer["seq"], answer.get("duplicate", False))

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 2.0,
    ) -> Message:
        """Ask and be answered. Raises NotConnectedError, NoStreamError (nobody listens), PublishUnknownError."""
        reply = await self._ask(subject, payload, headers, timeout)
        if reply.headers and reply.headers.get("Status") == _NO_RESPONDERS:
            raise NoStreamError(subject)
        return Message(reply.subject, reply.data, reply.headers or {})

    async def send(self, subject: str, payload: bytes = b"", *, reply: str = "") -> None:
        """Core publish without an answer (acknowledgements, pull requests)."""
        if not self.connected:
            raise NotConnectedError(subject)
        try:
            await self._client.publish(subject, payload, reply=reply)
        except (nats.errors.Error, OSError) as error:
            raise NotConnectedError(subject) from error

    async def api(self, subject: str, body: Mapping[str, Any] | None = None, *, timeout: float = 5.0) -> dict[str, Any]:
        """Call the JetStream API, for instance `STREAM.INFO.MAIL_EVENTS`. Raises RefusedError and the like."""
        reply = await self.request(f"$JS.API.{subject}", orjson.dumps(body) if body else b"", timeout=timeout)
        answer: dict[str, Any] = orjson.loads(reply.data)
        if "error" in answer:
            raise refusal(answer["error"])
        return answer

    async def direct_get(self, stream: str, sequence: int) -> Message | None:
        """The message at a sequence, or None when there is none."""
        return await self._direct(f"$JS.API.DIRECT.GET.{stream}", orjson.dumps({"seq": sequence}), stream)

    async def direct_last(self, stream: str, subject: str) -> Message | None:
        """The last message of a subject; wildcards allowed."""
        body = orjson.dumps({"last_by_subj": subject})
        return await self._direct(f"$JS.API.DIRECT.GET.{stream}", body, stream)

    async def direct_batch(
        self,
        stream: str,
        filter_subject: str,
        *,
        start_sequence: int | None = None,
        start_time: datetime | None = None,
        batch: int = 256,
    ) -> AsyncGenerator[Message, None]:
        """Every message of a filter in stream order from a sequence or time on (ADR-31, batched direct get)."""
        start: dict[str, Any] = {"seq": start_sequence or 1}
        if start_time is not None:
            start = {"start_time": start_time.isoformat().replace("+00:00", "Z")}
        while True:
            body = orjson.dumps({**start, "batch": batch, "next_by_subj": filter_subject})
            last, pending = 0, 0
            async with contextlib.aclosing(self._direct_stream(stream, body)) as messages:
                async for message in messages:
                    last, pending = message.sequence, message.num_pending
                    yield message
            if last == 0 or pending == 0:
                return
            start = {"seq": last + 1}

    async def stream_state(self, stream: str) -> StreamState:
        """Sizes and ends of a stream. Raises RefusedError (10059) when there is no such stream."""
        info = await self.api(f"STREAM.INFO.{stream}")
        state = info["state"]
        return StreamState(
            created=info["created"],
            first_sequence=state["first_seq"],
            last_sequence=state["last_seq"],
            messages=state["messages"],
            bytes=state["bytes"],
            max_bytes=info["config"].get("max_bytes", -1),
            num_deleted=state.get("num_deleted", 0),
        )

    async def ensure_consumer(self, stream: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Create a consumer or update it to `config` (JetStream API form); the consumer's info."""
        name = config.get("durable_name") or config["name"]
        body = {"stream_name": stream, "config": dict(config)}
        return await self.api(f"CONSUMER.CREATE.{stream}.{name}", body)

    async def delete_consumer(self, stream: str, name: str) -> None:
        """Delete a consumer; one that is not there is fine."""
        try:
            await self.api(f"CONSUMER.DELETE.{stream}.{name}")
        except RefusedError as error:
            if error.code != 404:
                raise

    def puller(self, stream: str, consumer: str) -> Puller:
        """A reader of an existing pull consumer."""
        return Puller(self, stream, consumer)

    async def ack(self, message: Message) -> None:
        """Acknowledge without waiting; lost on a broken connection, and then the message comes again."""
        await self.send(message.reply)

    async def ack_sync(self, message: Message, *, timeout: float = 2.0) -> None:
        """Acknowledge and wait until the server has it."""
        await self.request(message.reply, b"", timeout=timeout)

    async def nak(self, message: Message, *, delay: float = 0.0) -> None:
        """Hand a message back, to be delivered again after `delay` seconds."""
        body = b'-NAK {"delay": %d}' % int(delay * 1e9) if delay else b"-NAK"
        await self.send(message.reply, body)

    async def term(self, message: Message) -> None:
        """Never deliver this message again."""
        await self.send(message.reply, b"+TERM")

    async def in_progress(self, message: Message, *, timeout: float = 2.0) -> bool:
        """Extend the lease and hear that it was extended: asked for, since a plain publish is not answered."""
        try:
            await self.request(message.reply, b"+WPI", timeout=timeout)
        except (NotConnectedError, NoStreamError, PublishUnknownError):
            return False
        return True

    async def subscribe(self, subject: str, handler: Callable[[Any], Any]) -> Any:
        """A core subscription for the puller; the handler is a coroutine function."""
        if not self.connected:
            raise NotConnectedError(subject)
        try:
            return await self._client.subscribe(subject, cb=handler)
        except (nats.errors.Error, OSError) as error:
            raise NotConnectedError(subject) from error

    def new_inbox(self) -> str:
        """A subject that nobody else listens on."""
        return self._client.new_inbox()

    async def _connect(self) -> None:
        while True:
            try:
                await self._client.connect(
                    servers=self._servers,
                    name=self._name,
                    allow_reconnect=True,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=_CONNECT_PAUSE,  # type: ignore[arg-type]  # it sleeps that long, any number will do
                    connect_timeout=2,
                    ping_interval=_PING_SECONDS,
                    max_outstanding_pings=2,
                    pending_size=_PENDING_BYTES,
                    inbox_prefix=self._inbox_prefix,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnect,
                    reconnected_cb=self._on_reconnect,
                )
                inbox = self._client.new_inbox()
                await self._client.subscribe(f"{inbox}.*", cb=self._on_reply)
                await self._client.flush(2)
            except (TimeoutError, nats.errors.Error, OSError) as error:
                log.warning("NATS is away: %s", _said(error))
                with contextlib.suppress(nats.errors.Error, OSError, asyncio.TimeoutError):
                    await self._client.close()
                await asyncio.sleep(_CONNECT_PAUSE)
                self._client = Client()
                continue
            self._inbox = inbox
            self._announce()
            return

    def _announce(self) -> None:
        self.connections += 1
        self.connected_at = time.time()
        log.info("connected to NATS (%d)", self.connections)
        for callback in self._callbacks:
            callback()

    async def _on_error(self, error: Exception) -> None:
        # Permission violations show only here: the publish itself just times out.
        self.errors += 1
        if not self._closing:
            log.warning("NATS: %s", _said(error))

    async def _on_disconnect(self) -> None:
        if not self._closing:
            log.warning("disconnected from NATS")
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(PublishUnknownError("the connection was lost"))

    async def _on_reconnect(self) -> None:
        self._announce()

    async def _on_reply(self, raw: Any) -> None:
        future = self._waiting.pop(raw.subject.rpartition(".")[2], None)
        if future is not None and not future.done():
            future.set_result(raw)

    async def _ask(self, subject: str, payload: bytes, headers: Mapping[str, str] | None, timeout: float) -> Any:
        if not self.connected:
            raise NotConnectedError(subject)
        self._tokens += 1
        token = str(self._tokens)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting[token] = future
        timer = loop.call_later(timeout, _expire, future, subject)
        try:
            await self._client.publish(
                subject, payload, reply=f"{self._inbox}.{token}", headers=dict(headers) if headers else None
            )
            return await future
        except (nats.errors.Error, OSError) as error:
            raise PublishUnknownError(f"{subject}: {_said(error)}") from error
        finally:
            timer.cancel()
            self._waiting.pop(token, None)

    async def _direct(self, subject: str, body: bytes, stream: str) -> Message | None:
        raw = await self._ask(subject, body, None, 2.0)
        status = (raw.headers or {}).get("Status")
        if status in _NOT_FOUND:
            return None
        if status == _NO_RESPONDERS:
            raise NoStreamError(stream)
        return stored(raw)

    async def _direct_stream(self, stream: str, body: bytes) -> AsyncGenerator[Message, None]:
        queue: asyncio.Queue[Any] = asyncio.Queue()
        inbox = self.new_inbox()
        subscription = await self.subscribe(inbox, queue.put)
        try:
            await self.send(f"$JS.API.DIRECT.GET.{stream}", body, reply=inbox)
            while True:
                try:
                    async with asyncio.timeout(5.0):
                        raw = await queue.get()
                except TimeoutError as error:
                    raise PublishUnknownError(f"{stream}: the read was not answered") from error
                status = (raw.headers or {}).get("Status")
                if status == _NO_RESPONDERS:
                    raise NoStreamError(stream)
                if status is not None:
                    return
                yield stored(raw)
        finally:
            with contextlib.suppress(nats.errors.Error, OSError):
                await subscription.unsubscribe()


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def _expire(future: asyncio.Future[Any], subject: str) -> None:
    if not future.done():
        future.set_exception(PublishUnknownError(f"{subject}: no answer in time"))
