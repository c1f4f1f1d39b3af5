"""`make rotate-keys`: new keys for what is stored encrypted, while mail goes on; interrupted, it is just run again.

The state is in the files alone. A ring with one key gets a new one, active at once: every process looks at the file
before it uses a key. A ring with several is in the middle of a rotation: their owners encrypt everything anew
(`libs.common.vault.rotation`), and when nothing names an old key any more the old keys go. What an old key once
protected and somebody has copied is not protected by a new one: after a leak the credentials themselves have to be
changed.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.credentials import GATEWAY_KEY_RING, KEY_RING
from deploy.local.errors import LocalError
from deploy.local.home import Home, running_pid
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.vault.keyring import KeyRing, SecretsError, new_key, read_key_ring, write_key_ring
from libs.common.vault.rotation import GRACE, keys_in_use

CONNECT_SECONDS = 10.0
PATIENCE_SECONDS = 60.0  # without any progress
LOOK_SECONDS = 0.5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Rotating:
    """One ring: its file, what its secrets are called in MAIL_SECRETS and to a person, and who encrypts them anew."""

    file: Path
    kind: str
    what: str
    owner: str


def rotate_keys(home: Home, say: Say) -> None:
    """From wherever an earlier run got to. Raises `LocalError`, which says what to do."""
    rings = (
        Rotating(home.secrets / KEY_RING, "provider", "provider credentials", "providers"),
        Rotating(home.secrets / GATEWAY_KEY_RING, "user", "password hashes", "gateway"),
    )
    if not all(each.file.exists() for each in rings):
        raise LocalError(f"nothing was ever started here (TEMPS_HOME={home.path}): make up")
    with _alone(home):
        try:
            begun = [len(read_key_ring(each.file).keys) > 1 for each in rings]
            if any(begun):
                say("an earlier rotation is not finished: going on with it")
            # Keys are added and removed in the order of the rings: where only a later one has several, the earlier
            # ones are done already.
            if begun[0] or not any(begun):
                for each in (each for each, has_begun in zip(rings, begun, strict=True) if not has_begun):
                    _add_key(each, say)
            if running_pid(home) is None:
                say("nothing runs here: everything is encrypted anew at the next start (make up)")
                say("then run this again, to remove the old keys")
                return
            asyncio.run(_finish(home, rings, say))
        except (SecretsError, OSError) as error:
            raise LocalError(f"the key rings cannot be used: {error}") from error
        except BusError as error:
            raise LocalError(f"NATS does not answer ({error}): make status; then run this again") from error


def _add_key(each: Rotating, say: Say) -> None:
    ring = read_key_ring(each.file)
    numbers = [int(found[1]) for name in ring.keys if (found := re.fullmatch(r"k(\d+)", name))]
    name = f"k{max(numbers, default=0) + 1}"
    write_key_ring(each.file, KeyRing(name, {**ring.keys, name: new_key()}))
    say(f"{each.what}: the new key is {name}")


async def _finish(home: Home, rings: tuple[Rotating, ...], say: Say) -> None:
    port = json.loads((home / "ports.json").read_text())["nats"]
    password = (home.secrets / "nats-rotation").read_text().strip()
    bus = Bus(f"nats://rotation:{password}@127.0.0.1:{port}", name="rotate-keys")
    await bus.start()
    try:
        if not await bus.wait_connected(CONNECT_SECONDS):
            raise LocalError("NATS is not there: make status; then run this again")
        for each in rings:
            if len(read_key_ring(each.file).keys) > 1:
                await _until_none_is_left(bus, each, say)
                await _remove_old_keys(bus, each, say)
    finally:
        await bus.close()


async def _until_none_is_left(bus: Bus, each: Rotating, say: Say) -> None:
    """And until nobody can be on the way of storing one that was encrypted before the ring changed."""
    least: int | None = None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        changed_at = each.file.stat().st_mtime
        in_use = await keys_in_use(bus, each.kind)
        left = in_use.total() - in_use[read_key_ring(each.file).active]
        if left != least:
            say(f"{each.what}: {left} of {in_use.total()} still under old keys")
        if least is None or left < least:
            least, deadline = left, time.monotonic() + PATIENCE_SECONDS
        if left == 0 and time.time() - changed_at > GRACE:
            return
        if left and time.monotonic() > deadline:
            raise LocalError(
                f"{left} of the {each.what} are still under old keys; they stay in the ring. "
                f"Does {each.owner} run (make status), and what does it say (make logs SERVICE={each.owner})? "
                "Then run this again"
            )
        await asyncio.sleep(LOOK_SECONDS)


async def _remove_old_keys(bus: Bus, each: Rotating, say: Say) -> None:
    before = read_key_ring(each.file)
    write_key_ring(each.file, KeyRing(before.active, {before.active: before.keys[before.active]}))
    in_use = await keys_in_use(bus, each.kind)
    if in_use.total() > in_use[before.active]:
        # A process that had been stopped in the middle of storing one has gone on just now.
        write_key_ring(each.file, before)
        raise LocalError(f"{each.what}: one more has come under an old key, which stays. Run this again")
    say(f"{each.what}: only {before.active} is left in the ring")


@contextlib.contextmanager
def _alone(home: Home) -> Iterator[None]:
    folder = os.open(home.secrets, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise LocalError("keys are being rotated by another command at this moment") from None
    finally:
        os.close(folder)
