"""Every part is killed, stopped or frozen under load, and afterwards every email is accounted for.

`TEMPS_OUTAGE_SECONDS` makes the outages longer than the few seconds of a usual run.
"""

import os
import time
from pathlib import Path

import pytest

from tests.e2e.client import Api, until
from tests.e2e.load import Load, account
from tests.e2e.stack import Stack

OUTAGE = float(os.environ.get("TEMPS_OUTAGE_SECONDS", "4"))
RATE = 40.0
MOST = int(RATE * (OUTAGE + 20))


@pytest.mark.parametrize(
    "part", ["gateway", "providers", "sender", "worker", "tracking", "analytics", "nats", "postgres"]
)
def test_a_killed_part_loses_nothing_and_repeats_nothing(stack: Stack, api: Api, part: str) -> None:
    with Load(api, rate=RATE, most=MOST) as load:
        load.wait_accepted(30)
        stack.kill(part)
        stack.ready(20)
        load.wait_accepted(30)
    copies = account(load)
    assert len(copies) >= 60


def test_mail_flows_while_postgres_is_stopped(stack: Stack, api: Api) -> None:
    with Load(api, rate=RATE, most=MOST) as load:
        load.wait_accepted(20)
        with stack.held("postgres"):
            flows_without_postgres(api, load)
        stack.ready(30)
    account(load)


def test_mail_flows_while_postgres_is_frozen(stack: Stack, api: Api) -> None:
    with Load(api, rate=RATE, most=MOST) as load:
        load.wait_accepted(20)
        with stack.frozen("postgres"):
            flows_without_postgres(api, load)
        stack.ready(30)
    account(load)


def flows_without_postgres(api: Api, load: Load) -> None:
    """Accepted and delivered for as long as the outage is meant to last; questions get a clear 503."""
    began = time.monotonic()
    load.wait_accepted(1)
    to = f"r{len(load.accepted)}@{load.run}.example"
    until(lambda: api.get("/api/local-inbox", to=to)["total"], lambda total: total == 1, seconds=10, what="delivered")
    answer = api.request("GET", "/api/emails/stats")
    assert (answer.status, answer.json["status"]) == (503, 503)
    until(lambda: time.monotonic() - began, lambda passed: passed > OUTAGE, seconds=OUTAGE + 5)
    load.wait_accepted(int(RATE / 2))


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_a_damaged_queue_sends_nothing_twice_and_loses_nothing(stack: Stack, api: Api) -> None:
    with Load(api, rate=200, most=60) as delivered:
        delivered.wait_all()
    account(delivered)
    with stack.held("worker"):
        with Load(api, rate=200, most=40) as waiting:
            waiting.wait_all()
        with stack.held("nats"):
            damage(stack.home.path)
    stack.ready(30)
    assert set(account(waiting, seconds=150).values()) == {1}
    assert set(account(delivered).values()) == {1}


def damage(home: Path) -> None:
    """Overwrite the middle of the queue's last block: the server drops what it cannot read, and re-sources."""
    blocks = sorted(home.rglob("MAIL_QUEUE/msgs/*.blk"), key=lambda path: int(path.stem))
    content = bytearray(blocks[-1].read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = bytes(400)
    blocks[-1].write_bytes(content)
