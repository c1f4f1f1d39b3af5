"""A relay that accepts everything as fast as Python can, for figures: `python -m tests.support.sink`.

Prints `{"port": n}`, then its counts as JSON each time it reads a line on stdin; ends when stdin ends.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import time
from typing import cast

import uvloop

_REPLIES = {b"MAIL": b"250 ok\r\n", b"RCPT": b"250 ok\r\n", b"RSET": b"250 ok\r\n", b"NOOP": b"250 ok\r\n"}


class Counts:
    """What all connections of a sink have seen; `first` and `last` are monotonic seconds."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        self.messages = 0
        self.recipients = 0
        self.bytes = 0
        self.first = 0.0
        self.last = 0.0


class FastSink(asyncio.Protocol):
    """One connection: splits lines, looks at verbs, throws content away."""

    def __init__(self, counts: Counts, ehlo: bytes) -> None:
        self.counts = counts
        self.ehlo = ehlo
        self.buffer = b""
        self.reading_content = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is one by conduct, not by class
        self.counts.connections += 1
        self.counts.open += 1
        self.transport.write(b"220 sink ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self.counts.open -= 1

    def data_received(self, data: bytes) -> None:
        buffer = self.buffer + data if self.buffer else data
        answers = []
        while buffer:
            if self.reading_content:
                end = buffer.find(b"\r\n.\r\n")
                if end < 0:
                    break
                self._received(end)
                buffer = buffer[end + 5 :]
                answers.append(b"250 2.0.0 queued\r\n")
                continue
            end = buffer.find(b"\r\n")
            if end < 0:
                break
            verb = buffer[:4].upper()
            answers.append(self._answer(verb))
            # The CRLF of DATA stays, so that a message of nothing but a dot is found too.
            buffer = buffer[end if verb == b"DATA" else end + 2 :]
        self.buffer = buffer
        if answers:
            self.transport.write(b"".join(answers))

    def _received(self, size: int) -> None:
        self.reading_content = False
        self.counts.messages += 1
        self.counts.bytes += size
        self.counts.last = time.monotonic()
        self.counts.first = self.counts.first or self.counts.last

    def _answer(self, verb: bytes) -> bytes:
        if verb == b"RCPT":
            self.counts.recipients += 1
        if verb == b"DATA":
            self.reading_content = True
            return b"354 go\r\n"
        if verb == b"QUIT":
            self.transport.write(b"221 bye\r\n")
            self.transport.close()
            return b""
        return self.ehlo if verb == b"EHLO" else _REPLIES.get(verb, b"500 what?\r\n")


async def serve(port: int, *, pipelining: bool) -> None:
    """Serve until stdin ends."""
    counts = Counts()
    offers = b"250-sink\r\n" + (b"250-PIPELINING\r\n" if pipelining else b"") + b"250 SIZE 26214400\r\n"
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FastSink(counts, offers), "127.0.0.1", port)
    sys.stdout.write(json.dumps({"port": server.sockets[0].getsockname()[1]}) + "\n")
    sys.stdout.flush()
    while await asyncio.to_thread(sys.stdin.readline):
        sys.stdout.write(json.dumps(vars(counts)) + "\n")
        sys.stdout.flush()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--no-pipelining", action="store_true")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(arguments.port, pipelining=not arguments.no_pipelining))


if __name__ == "__main__":
    main()
