"""Key rotation's other half: every stored secret is encrypted anew under the active key, while everything runs.

On one machine `make rotate-keys` does the rest. Elsewhere the operator does, because a ring is mounted into each pod
and arrives there when it arrives. Two phases: (1) add the new key to every copy of the ring, behind the others and not
active, and wait until it is everywhere; (2) make it active. When that is everywhere too, and
`temps_secrets_under_old_keys` has been 0 for a minute on every process that shows it, the old keys may be taken out.
It is NaN while nobody could look: NATS is away, or the ring has just changed. A process that meets a key that it does
not have yet treats that as trouble that passes: mail waits, nothing is stopped.
"""

import asyncio
import logging
import math
from collections import Counter
from uuid import uuid4

from prometheus_client import Gauge

from libs.common.errors import TempsError
from libs.common.jetstream.append import Expected, publish_durably
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError, RefusedError, WrongSequenceError
from libs.common.jetstream.message import Message
from libs.common.jetstream.streams import SECRETS
from libs.common.vault.keyring import KeyRing, RingFile, SecretsError, key_id_of

log = logging.getLogger(__name__)

UNDER_OLD_KEYS = Gauge(
    "temps_secrets_under_old_keys", "Stored secrets that are not encrypted under the active key", ["kind"]
)
GRACE = 8.0
"""Seconds after which nobody is still writing what was encrypted before the ring changed (`publish_durably`: 5)."""

_LOOK = 1.0
_AGAIN = 10.0
_WRITTEN_AT = "Temps-Written-At"
_UNREADABLE = "?"


async def keep_resealed(bus: Bus, ring: RingFile, kind: str, *, look: float = _LOOK, again: float = _AGAIN) -> None:
    """For ever: soon after the active key has changed, and now and then, because a slow writer may come after that."""
    loop, done_for, due = asyncio.get_running_loop(), "", 0.0
    told: list[str] = []
    shown = UNDER_OLD_KEYS.labels(kind)
    while True:
        connected = await bus.wait_connected(look)
        active = ring.ring.active
        if not connected or active != done_for:
            shown.set(math.nan)
            due = 0.0
        if connected and loop.time() >= due:
            try:
                left = await reseal(bus, ring, kind)
            except (BusError, TempsError) as error:
                log.warning("secrets are not encrypted anew now: %s", error)
                shown.set(math.nan)
            else:
                shown.set(len(left))
                for line in left:
                    if line not in told:
                        log.warning("not encrypted anew: %s", line)
                told, done_for = left, active
            due = loop.time() + again
        await asyncio.sleep(look)


async def reseal(bus: Bus, ring: RingFile, kind: str) -> list[str]:
    """Encrypt anew what is under an older key than the active one; which could not be, and why.

    Same subject, same version, no fact: nothing about the owner has changed. Whoever deletes or replaces a secret
    meanwhile wins, because the message has to be the one that was read. Raises what `publish_durably` does, `BusError`.
    """
    done, left = 0, list[str]()
    async for stored in bus.direct_batch(SECRETS, f"secret.{kind}.>"):
        if _key_of(stored) in _not_old(ring.ring):
            continue
        try:
            plain = ring.decrypt(stored.data, bound_to=owner_of(stored))
        except SecretsError as error:
            left.append(f"{stored.subject}: {error}")
            continue
        sealed = ring.encrypt(plain, bound_to=owner_of(stored))
        headers = {_WRITTEN_AT: repr(written_at(stored))}
        expected = Expected(stored.sequence, stored.subject)
        try:
            await publish_durably(bus, stored.subject, sealed, msg_id=str(uuid4()), headers=headers, expected=expected)
        except WrongSequenceError:
            continue
        done += 1
    if done:
        log.info("encrypted %d secrets anew under %s", done, ring.ring.active)
    return left


async def keys_in_use(bus: Bus, kind: str) -> Counter[str]:
    """How many stored secrets name each key. Raises `BusError`."""
    return Counter([_key_of(stored) async for stored in bus.direct_batch(SECRETS, f"secret.{kind}.>")])


async def put_sealed(bus: Bus, ring: RingFile, subject: str, plaintext: bytes, *, msg_id: str) -> None:
    """Encrypt for the subject's owner and store. Raises what `publish_durably` does.

    The key may have left the ring before the message was stored (this process was stopped in between): then again.
    """
    owner, expected = _owner(subject), None
    while True:
        sealed = ring.encrypt(plaintext, bound_to=owner)
        try:
            sequence = await publish_durably(bus, subject, sealed, msg_id=msg_id, expected=expected)
        except WrongSequenceError:
            return  # a second try of ours, and somebody has encrypted the first one anew
        if key_id_of(sealed) in ring.ring.keys:
            return
        msg_id, expected = str(uuid4()), Expected(sequence, subject)


async def delete_sealed(bus: Bus, stored: Message) -> bool:
    """Overwrite it on disk (`no_erase` false); False when it has been replaced or deleted since. Raises `BusError`."""
    try:
        await bus.api(f"STREAM.MSG.DELETE.{SECRETS}", {"seq": stored.sequence})
    except RefusedError:
        if await bus.direct_get(SECRETS, stored.sequence) is not None:
            raise
        return False
    return True


def written_at(stored: Message) -> float:
    """When the secret itself was written (Unix seconds), however often it was encrypted anew since."""
    return float(stored.headers.get(_WRITTEN_AT, stored.time))


def owner_of(stored: Message) -> str:
    """The owner a secret is bound to: `provider/3` for `secret.provider.3.<version>`."""
    return _owner(stored.subject)


def _not_old(ring: KeyRing) -> list[str]:
    """The active key and those that stand behind it in the ring's file: they are to become active.

    While two copies of a ring differ, one process would otherwise undo what the other does, again and again.
    """
    names = list(ring.keys)
    return names[names.index(ring.active) :]


def _owner(subject: str) -> str:
    _, kind, owner, _ = subject.split(".")
    return f"{kind}/{owner}"


def _key_of(stored: Message) -> str:
    try:
        return key_id_of(stored.data)
    except SecretsError:
        return _UNREADABLE
