"""`rotate-keys` where nothing runs, interrupted and repeated; what it does to a running stack is in tests/e2e."""

import asyncio
import base64
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local import credentials, rotation
from deploy.local.errors import LocalError
from deploy.local.home import Home, Lock, open_home
from deploy.local.rotation import rotate_keys
from deploy.local.servers import NatsAddress
from libs.common.jetstream.append import publish_durably
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from libs.common.vault.keyring import KeyRing, key_id_of, read_key_ring, write_key_ring
from libs.common.vault.rotation import keys_in_use


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = open_home({"TEMPS_HOME": str(tmp_path / "home")})
    credentials.ensure(made)
    return made


@pytest.fixture
def running(home: Home, clean_nats: NatsAddress, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """Somebody holds the home, and NATS has its streams; no service runs."""

    async def streams() -> None:
        bus = Bus(clean_nats.url, name="test")
        await bus.start()
        assert await bus.wait_connected(5)
        await bootstrap(bus, store_bytes=64 * 2**20)
        await bus.close()

    asyncio.run(streams())
    (home / "ports.json").write_text(json.dumps({"nats": int(clean_nats.url.rpartition(":")[2])}))
    monkeypatch.setattr(rotation, "GRACE", 0.2)
    lock = Lock(home)
    yield home
    lock.release()


def rings(home: Home) -> dict[str, list[str]]:
    """Key ids of each ring, the active one last."""
    found = {}
    for name in ("keyring.json", "gateway-keyring.json"):
        ring = read_key_ring(home.secrets / name)
        found[name] = [*(key for key in ring.keys if key != ring.active), ring.active]
    return found


def store(nats: NatsAddress, subject: str, sealed: bytes) -> None:
    async def publish() -> None:
        bus = Bus(nats.url, name="test")
        await bus.start()
        assert await bus.wait_connected(5)
        await publish_durably(bus, subject, sealed, msg_id=subject + key_id_of(sealed))
        await bus.close()

    asyncio.run(publish())


def test_where_nothing_runs_the_key_is_added_and_the_old_one_stays_however_often_it_is_run(tmp_path: Path) -> None:
    home = open_home({"TEMPS_HOME": str(tmp_path / "home")})
    credentials.ensure(home)
    before = read_key_ring(home.secrets / "keyring.json")
    for words in ("the new key is k2", "an earlier rotation is not finished"):
        done = subprocess.run(
            [sys.executable, "-m", "deploy.local", "rotate-keys"],
            env={**os.environ, "TEMPS_HOME": str(home.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert words in done.stdout
        assert "at the next start" in done.stdout
        assert rings(home) == {"keyring.json": ["k1", "k2"], "gateway-keyring.json": ["k1", "k2"]}
        ring = read_key_ring(home.secrets / "keyring.json")
        assert ring.keys["k1"] == before.keys["k1"]
        for key in ring.keys.values():
            assert base64.b64encode(key).decode() not in done.stdout + done.stderr
    assert read_key_ring(home.secrets / "gateway-keyring.json").keys["k2"] != ring.keys["k2"]


def test_a_home_that_was_never_started_is_told(tmp_path: Path) -> None:
    home = open_home({"TEMPS_HOME": str(tmp_path)})
    with pytest.raises(LocalError, match="nothing was ever started here"):
        rotate_keys(home, print)
    assert list(home.secrets.iterdir()) == []


def test_two_commands_at_the_same_time_do_not_meet(home: Home) -> None:
    folder = os.open(home.secrets, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(LocalError, match="another command"):
        rotate_keys(home, print)
    os.close(folder)
    assert rings(home) == {"keyring.json": ["k1"], "gateway-keyring.json": ["k1"]}


def test_a_damaged_ring_is_told_and_left_alone(home: Home) -> None:
    (home.secrets / "gateway-keyring.json").write_text("{")
    with pytest.raises(LocalError, match=r"gateway-keyring\.json is not a key ring"):
        rotate_keys(home, print)
    assert len(read_key_ring(home.secrets / "keyring.json").keys) == 1


def test_an_interruption_between_the_two_rings_is_made_good(running: Home) -> None:
    ring = read_key_ring(running.secrets / "keyring.json")
    write_key_ring(running.secrets / "keyring.json", KeyRing("k2", {**ring.keys, "k2": os.urandom(32)}))
    rotate_keys(running, print)
    assert rings(running) == {"keyring.json": ["k2"], "gateway-keyring.json": ["k2"]}


def test_an_interruption_while_old_keys_are_removed_is_made_good(running: Home) -> None:
    ring = read_key_ring(running.secrets / "gateway-keyring.json")
    write_key_ring(running.secrets / "gateway-keyring.json", KeyRing("k2", {**ring.keys, "k2": os.urandom(32)}))
    rotate_keys(running, print)
    assert rings(running) == {"keyring.json": ["k1"], "gateway-keyring.json": ["k2"]}, "the first was done already"


def test_old_keys_stay_as_long_as_something_is_under_them(
    running: Home, clean_nats: NatsAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "PATIENCE_SECONDS", 0.5)
    old = read_key_ring(running.secrets / "keyring.json")
    store(clean_nats, "secret.provider.1.v", old.encrypt(b"x", bound_to="provider/1"))
    said: list[str] = []
    with pytest.raises(LocalError, match="1 of the provider credentials are still under old keys"):
        rotate_keys(running, said.append)
    assert "provider credentials: 1 of 1 still under old keys" in said
    assert rings(running) == {"keyring.json": ["k1", "k2"], "gateway-keyring.json": ["k1", "k2"]}
    new = read_key_ring(running.secrets / "keyring.json")
    store(clean_nats, "secret.provider.1.v", new.encrypt(b"x", bound_to="provider/1"))
    rotate_keys(running, said.append)
    assert rings(running) == {"keyring.json": ["k2"], "gateway-keyring.json": ["k2"]}
    assert "provider credentials: only k2 is left in the ring" in said


def test_what_comes_under_an_old_key_at_the_last_moment_brings_the_key_back(
    running: Home, clean_nats: NatsAddress, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = read_key_ring(running.secrets / "keyring.json")
    real, counted = keys_in_use, 0

    async def late(bus: Bus, kind: str) -> object:
        nonlocal counted
        if len(read_key_ring(running.secrets / "keyring.json").keys) == 1 and not counted:
            counted += 1
            sealed = old.encrypt(b"x", bound_to="provider/1")
            await publish_durably(bus, "secret.provider.1.v", sealed, msg_id="late")
        return await real(bus, kind)

    monkeypatch.setattr(rotation, "keys_in_use", late)
    with pytest.raises(LocalError, match="one more has come"):
        rotate_keys(running, print)
    assert counted == 1
    assert rings(running)["keyring.json"] == ["k1", "k2"]
    assert read_key_ring(running.secrets / "keyring.json").keys["k1"] == old.keys["k1"]
