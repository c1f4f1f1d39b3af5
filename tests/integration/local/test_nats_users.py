"""Each process's user in NATS: what it may write, read and hear, and nothing else (a real server says so)."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import nats
import pytest

from deploy.local.servers import NatsAddress, running_nats
from deploy.nats_users import STREAMS, USERS
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus

PASSWORDS = {user: f"of-{user}" for user in USERS}
SERVICES = frozenset(USERS) - {"operator"}
REFUSED = re.compile(r'permissions violation for (publish|subscription) to "([^"]+)"', re.IGNORECASE)

# Nobody may publish this: its refusal comes behind every other.
LAST = "nobody.may"

# Who may write what: the table of services and their facts, and the streams that are no facts.
WRITERS: Mapping[str, set[str]] = {
    "mail.key.1": {"gateway"},
    "mail.user.1": {"gateway"},
    "mail.provider.1": {"providers", "worker"},
    "mail.domain.1": {"providers"},
    "mail.email.ab.accepted.1.normal": {"sender"},
    "mail.email.ab.captured": {"sender"},
    "mail.email.ab.sent": {"worker"},
    "mail.email.ab.rerouted": {"worker"},
    "mail.email.ab.failed": {"worker"},
    "mail.email.ab.delivered": set(),
    "track.ab.opened": {"tracking"},
    "track.ab.clicked": {"tracking"},
    "content.ab": {"sender"},
    "secret.user.1.v1": {"gateway"},
    "secret.provider.1.v1": {"providers"},
    "schedule.at.x": {"worker"},
    "schedule.due.1.normal": {"worker"},
    "queue.ready.1.normal": set(),
    "presence.worker.x": {"worker"},
}
# Who may read which stream's messages.
READERS: Mapping[str, set[str]] = {
    "MAIL_EVENTS": {"gateway", "providers", "sender", "worker", "tracking", "analytics"},
    "MAIL_TRACKING": {"worker", "analytics"},
    "MAIL_CONTENT": {"worker", "analytics"},
    "MAIL_SECRETS": {"gateway", "providers", "worker", "rotation"},
    "MAIL_SCHEDULE": {"worker"},
    "MAIL_QUEUE": {"worker"},
    "MAIL_PRESENCE": {"worker"},
}
NOBODYS = ("STREAM.DELETE", "STREAM.PURGE", "STREAM.RESTORE", "STREAM.SNAPSHOT")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsAddress]:
    with running_nats(tmp_path_factory.mktemp("users"), passwords=PASSWORDS) as address:
        asyncio.run(_make_streams(address))
        yield address


async def _make_streams(address: NatsAddress) -> None:
    bus = Bus(_login(address, "streams"), name="test")
    await bus.start()
    assert await bus.wait_connected(5)
    await bootstrap(bus, store_bytes=64 * 2**20)
    await bootstrap(bus, store_bytes=64 * 2**20)  # an update is allowed, too
    await bus.close()


def _login(address: NatsAddress, user: str) -> str:
    return address.url.replace("nats://", f"nats://{user}:{PASSWORDS[user]}@")


async def refused(address: NatsAddress, user: str, *, publish: list[str], subscribe: list[str]) -> set[str]:
    """Those of the subjects that the server refuses to this user."""
    found: set[str] = set()
    all_said = asyncio.Event()

    async def note(error: Exception) -> None:
        if (refusal := REFUSED.search(str(error))) is not None:
            found.add(refusal[2])
        if LAST in found:
            all_said.set()

    async def ignore(_: object) -> None:
        return

    client = await nats.connect(
        _login(address, user), error_cb=note, allow_reconnect=False, inbox_prefix=f"_INBOX_{user}"
    )
    try:
        for subject in subscribe:
            await client.subscribe(subject, cb=ignore)
        for subject in (*publish, LAST):
            await client.publish(subject, b"")
        async with asyncio.timeout(5):
            await all_said.wait()
    finally:
        await client.close()
    asked = {subject.lower(): subject for subject in (*publish, *subscribe)}  # the client says errors in lower case
    return {asked[subject] for subject in found - {LAST}}


@pytest.mark.parametrize("user", sorted(SERVICES))
async def test_a_user_writes_its_own_facts_and_no_others(server: NatsAddress, user: str) -> None:
    may_not = await refused(server, user, publish=list(WRITERS), subscribe=[])
    assert may_not == {subject for subject, writers in WRITERS.items() if user not in writers}


@pytest.mark.parametrize("user", sorted(SERVICES))
async def test_a_user_reads_the_streams_of_its_work(server: NatsAddress, user: str) -> None:
    gets = {f"$JS.API.DIRECT.GET.{stream}": stream for stream in STREAMS}
    may_not = await refused(server, user, publish=list(gets), subscribe=[])
    assert {gets[subject] for subject in may_not} == {name for name, users in READERS.items() if user not in users}


@pytest.mark.parametrize("user", sorted(SERVICES))
async def test_no_service_may_take_a_stream_away(server: NatsAddress, user: str) -> None:
    calls = [f"$JS.API.{call}.{stream}" for call in NOBODYS for stream in STREAMS]
    assert await refused(server, user, publish=calls, subscribe=[]) == set(calls)


@pytest.mark.parametrize("user", sorted(SERVICES))
async def test_no_service_hears_what_is_meant_for_another(server: NatsAddress, user: str) -> None:
    others = [">", "mail.>", "content.>", "_INBOX.>", *(f"_INBOX_{name}.>" for name in USERS if name != user)]
    own = [f"_INBOX_{user}.x.>"]
    assert await refused(server, user, publish=[], subscribe=[*others, *own]) == set(others)


@pytest.mark.parametrize("login", [{}, {"user": "gateway", "pass": "wrong"}, {"user": "nobody", "pass": ""}])
async def test_without_the_password_there_is_no_connection(server: NatsAddress, login: dict[str, str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(server.url).port)
    writer.write(f"CONNECT {json.dumps({'verbose': False, **login})}\r\nSUB > 1\r\nPING\r\n".encode())
    answer = await reader.read()
    writer.close()
    assert b"Authorization Violation" in answer
    assert b"PONG" not in answer


def test_the_configuration_is_its_owners_alone(tmp_path: Path) -> None:
    with running_nats(tmp_path, passwords=PASSWORDS):
        assert (tmp_path / "nats.conf").stat().st_mode & 0o077 == 0
