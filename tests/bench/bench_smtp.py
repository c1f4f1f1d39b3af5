"""How many messages a second our relay hands over on ten connections, beside aiosmtplib's own `sendmail`.

The sink is a process of its own, so one core sends and the other receives.
"""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import aiosmtplib
import uvloop

from libs.common.relay.port import Submission
from libs.common.relay.smtp.relay import SmtpSettings, open_smtp_relay

CONNECTIONS = 10
MESSAGES = 6000
MESSAGE = (
    b"From: Shop <shop@example.org>\r\nTo: bob@example.net\r\nSubject: Your order\r\n"
    b"Message-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n\r\n" + b"Thank you for your order of today.\r\n" * 80
)
SENDER, RECIPIENT = "shop@example.org", "bob@example.net"


def run() -> list[tuple[str, float, float]]:
    """(name, messages per second, the ceiling of the same run: plain aiosmtplib on kept connections)."""
    with sink() as port:
        ceiling = measured(lambda: plain(port))
        ours = measured(lambda: relay(port))
    with sink("--no-pipelining") as port:
        plain_ceiling = measured(lambda: plain(port))
        one_by_one = measured(lambda: relay(port))
    return [
        ("SMTP hand-over, messages/s, PIPELINING", ours, ceiling),
        ("SMTP hand-over, messages/s, without PIPELINING", one_by_one, plain_ceiling),
    ]


@contextmanager
def sink(*arguments: str) -> Iterator[int]:
    """A fast sink in its own process; gives its port, checks that it got everything it was sent."""
    command = [sys.executable, "-m", "tests.support.sink", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["port"]
        process.stdin.write("\n")
        process.stdin.flush()
        counts = json.loads(process.stdout.readline())
        process.stdin.close()
    assert counts["messages"] == 2 * MESSAGES, counts


def measured(work: Callable[[], Awaitable[None]]) -> float:
    """Messages per second of one round of work on a loop of its own."""

    async def timed() -> float:
        start = time.perf_counter()
        await work()
        return MESSAGES / (time.perf_counter() - start)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(timed())


async def relay(port: int) -> None:
    """Our relay with its default limits (100 messages a connection), the lease asked before each dot."""
    settings = SmtpSettings("127.0.0.1", port, encryption="none", max_connections=CONNECTIONS)
    ours = open_smtp_relay(settings)

    async def lease() -> bool:
        return True

    async def worker(numbers: Iterator[int]) -> None:
        for number in numbers:
            submission = Submission(SENDER, (RECIPIENT,), MESSAGE, f"<{number}@example.org>")
            result = await ours.send(submission, before_dot=lease)
            assert result.provider_message_id is not None, result

    numbers = iter(range(MESSAGES))
    await asyncio.gather(*(worker(numbers) for _ in range(CONNECTIONS)))
    await ours.close()


async def plain(port: int) -> None:
    """aiosmtplib as its documentation shows it, a connection kept by each worker."""

    async def worker(numbers: Iterator[int]) -> None:
        async with aiosmtplib.SMTP(hostname="127.0.0.1", port=port, start_tls=False) as client:
            for _ in numbers:
                refused, _text = await client.sendmail(SENDER, [RECIPIENT], MESSAGE)
                assert not refused

    numbers = iter(range(MESSAGES))
    await asyncio.gather(*(worker(numbers) for _ in range(CONNECTIONS)))


def main() -> None:
    for name, figure, ceiling in run():
        print(f"{name}: {figure:,.0f} (plain aiosmtplib: {ceiling:,.0f})")


if __name__ == "__main__":
    main()
