"""Every part is killed, stopped or frozen under load, and afterwards every email is accounted for.

`TEMPS_OUTAGE_SECONDS` makes the outages longer than the few seconds of a usual run.
"""

import os
import signal
import time

import pytest

from tests.e2e.client import Api, until
from tests.e2e.load import Load, account
from tests.e2e.stack import Stack

OUTAGE = float(os.environ.get("TEMPS_OUTAGE_SECONDS", "4"))
RATE = 40.0
MOST = int(RATE * (OUTAGE + 20))


@pytest.mark.parametrize("part", ["gateway", "providers", "sender", "worker", "tracking", "analytics", "nats", "postgres"])
def test_a_killed_part_loses_nothing_and_repeats_nothing(stack: Stack, api: Api, part: str) -> None:
    with Load(api, rate=RATE, most=MOST) as load:
        load.wait_accepted(30)
        os.kill(stack.pid(part), signal.SIGKILL)
        until(lambda: stack.ready(), lambda ready: ready, seconds=20, what=f"{part} back and everything ready")
        load.wait_accepted(30)
    copies = account(load)
    assert len(copies) >= 60


def test_mail_flows_while_postgres_is_stopped(stack: Stack, api: Api) -> None:
    with Load(api, rate=RATE, most=MOST) as load:
        load.wait_accepted(20)
        stack.command("stop", "postgres")
        try:
            load.wait_accepted(int(RATE * OUTAGE / 2), seconds=OUTAGE + 20)
            assert api.request("GET", "/api/emails/stats").status == 503
            to_inbox = Load(api, rate=RATE, most=1)
            with to_inbox:
                to_inbox.wait_accepted(1)
            until(
                lambda: api.get("/api/local-inbox", to=f"r1@{to_inbox.run}.example")["total"],
                lambda total: total == 1,
                seconds=5,
                what="delivered without Postgres",
            )
        finally:
            stack.command("start", "postgres")
        until(lambda: stack.ready(), lambda ready: ready, seconds=20)
    account(load)
    account(to_inbox)


def test_mail_flows_while_postgres_is_frozen(stack: Stack, api: Api) -> None:
    with Load(api, rate=RATE, most=MOST) as load:
        load.wait_accepted(20)
        frozen = stack.tree("postgres")
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        try:
            started = time.monotonic()
            load.wait_accepted(int(RATE * OUTAGE / 2), seconds=OUTAGE + 20)
            answer = api.request("GET", "/api/emails/stats")
            assert answer.status == 503
            until(lambda: time.monotonic() - started, lambda passed: passed > OUTAGE, seconds=OUTAGE + 5)
        finally:
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
        until(lambda: stack.ready(), lambda ready: ready, seconds=30)
    account(load)


def test_a_damaged_queue_sends_nothing_twice_and_loses_nothing(stack: Stack, api: Api) -> None:
    with Load(api, rate=200, most=60) as delivered:
        delivered.wait_accepted(60)
    account(delivered)
    stack.command("stop", "worker")
    with Load(api, rate=200, most=40) as waiting:
        waiting.wait_accepted(40)
    stack.command("stop", "nats")
    blocks = sorted(stack.home.rglob("MAIL_QUEUE/msgs/*.blk"), key=lambda path: int(path.stem))
    content = bytearray(blocks[-1].read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    blocks[-1].write_bytes(content)
    stack.command("start", "nats")
    stack.command("start", "worker")
    until(lambda: stack.ready(), lambda ready: ready, seconds=30)
    assert set(account(waiting, seconds=90).values()) == {1}
    assert set(account(delivered).values()) == {1}
