"""Stored secrets are encrypted anew under the active key, and whoever changes one meanwhile wins."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY

from deploy.local.servers import NatsAddress
from libs.common.jetstream.append import publish_durably
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import NotConnectedError
from libs.common.jetstream.message import Message
from libs.common.jetstream.streams import SECRETS
from libs.common.vault.keyring import KeyRing, RingFile, key_id_of, new_key, write_key_ring
from libs.common.vault.rotation import (
    delete_sealed,
    keep_resealed,
    keys_in_use,
    owner_of,
    put_sealed,
    reseal,
    written_at,
)
from tests.support.aio import run

ONE, TWO = new_key(), new_key()
OLD, BOTH, NEW = KeyRing("k1", {"k1": ONE}), KeyRing("k2", {"k1": ONE, "k2": TWO}), KeyRing("k2", {"k2": TWO})
SUBJECT = "secret.provider.1.v1"


@asynccontextmanager
async def bus_of(nats: NatsAddress) -> AsyncIterator[Bus]:
    bus = Bus(nats.url, name="test")
    await bus.start()
    assert await bus.wait_connected(5)
    try:
        await bootstrap(bus, store_bytes=64 * 2**20)
        yield bus
    finally:
        await bus.close()


def ring_file(directory: Path, ring: KeyRing) -> RingFile:
    write_key_ring(directory / "ring.json", ring)
    return RingFile(directory / "ring.json")


async def stored(bus: Bus, subject: str = SUBJECT) -> Message:
    message = await bus.direct_last(SECRETS, subject)
    assert message is not None
    return message


def shown() -> float | None:
    return REGISTRY.get_sample_value("temps_secrets_under_old_keys", {"kind": "provider"})


class Away(Bus):
    """Cannot read the secrets while `away`."""

    away, tries = False, 0

    def direct_batch(self, *arguments: Any, **named: Any) -> AsyncGenerator[Message, None]:
        self.tries += 1
        if self.away:
            raise NotConnectedError
        return super().direct_batch(*arguments, **named)


class Interrupted(Bus):
    """Does something else first, the first time that it is to publish."""

    meanwhile: Any = None

    async def publish(self, *arguments: Any, **named: Any) -> Any:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        return await super().publish(*arguments, **named)


def test_everything_of_the_kind_is_encrypted_anew_and_nothing_else(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with bus_of(clean_nats) as bus:
            ring = ring_file(tmp_path, OLD)
            subjects = [f"secret.provider.{number}.v" for number in range(1, 301)]
            for subject in subjects:
                await put_sealed(bus, ring, subject, subject.encode(), msg_id=subject)
            await put_sealed(bus, ring, "secret.user.1.v", b"hash", msg_id="u")
            before = {subject: await stored(bus, subject) for subject in (subjects[0], subjects[-1])}
            write_key_ring(tmp_path / "ring.json", BOTH)
            assert await reseal(bus, ring, "provider") == []
            assert await keys_in_use(bus, "provider") == {"k2": 300}
            assert await keys_in_use(bus, "user") == {"k1": 1}
            assert (await bus.stream_state(SECRETS)).messages == 301
            for subject, message in before.items():
                after = await stored(bus, subject)
                assert NEW.decrypt(after.data, bound_to=owner_of(after)) == subject.encode()
                assert written_at(after) == message.time < after.time, "as old as it was"
            last = (await bus.stream_state(SECRETS)).last_sequence
            assert await reseal(bus, ring, "provider") == []
            assert (await bus.stream_state(SECRETS)).last_sequence == last, "twice is nothing"

    run(main())


def test_a_secret_that_is_replaced_or_deleted_meanwhile_stays_so(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with bus_of(clean_nats) as other:
            bus = Interrupted(clean_nats.url, name="interrupted")
            await bus.start()
            assert await bus.wait_connected(5)
            ring = ring_file(tmp_path, BOTH)

            async def replaced() -> None:
                sealed = BOTH.encrypt(b"newer", bound_to="provider/1")
                await publish_durably(other, SUBJECT, sealed, msg_id="newer")

            async def deleted() -> None:
                assert await delete_sealed(other, await stored(other))

            await publish_durably(other, SUBJECT, OLD.encrypt(b"old", bound_to="provider/1"), msg_id="a")
            bus.meanwhile = replaced
            assert await reseal(bus, ring, "provider") == []
            assert ring.decrypt((await stored(other)).data, bound_to="provider/1") == b"newer"

            await publish_durably(other, SUBJECT, OLD.encrypt(b"old", bound_to="provider/1"), msg_id="b")
            bus.meanwhile = deleted
            assert await reseal(bus, ring, "provider") == []
            assert await other.direct_last(SECRETS, SUBJECT) is None
            await bus.close()

    run(main())


def test_what_was_encrypted_anew_since_it_was_read_is_not_deleted(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with bus_of(clean_nats) as bus:
            ring = ring_file(tmp_path, OLD)
            await put_sealed(bus, ring, SUBJECT, b"x", msg_id="a")
            seen = await stored(bus)
            write_key_ring(tmp_path / "ring.json", BOTH)
            await reseal(bus, ring, "provider")
            assert not await delete_sealed(bus, seen)
            assert key_id_of((await stored(bus)).data) == "k2"
            assert await delete_sealed(bus, await stored(bus))
            assert await bus.direct_last(SECRETS, SUBJECT) is None

    run(main())


def test_two_processes_whose_rings_differ_for_a_while_do_not_undo_each_others_work(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def main() -> None:
        async with bus_of(clean_nats) as bus:
            (tmp_path / "late").mkdir()
            ring, late = ring_file(tmp_path, BOTH), ring_file(tmp_path / "late", KeyRing("k1", BOTH.keys))
            await put_sealed(bus, late, SUBJECT, b"x", msg_id="a")
            assert await reseal(bus, ring, "provider") == []
            sequence = (await stored(bus)).sequence
            assert await reseal(bus, late, "provider") == []
            assert (await stored(bus)).sequence == sequence
            assert key_id_of((await stored(bus)).data) == "k2"

    run(main())


def test_what_cannot_be_read_is_counted_and_left_as_it_is(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with bus_of(clean_nats) as bus:
            ring = ring_file(tmp_path, NEW)
            unreadable = {"secret.provider.1.v": OLD.encrypt(b"x", bound_to="provider/1"), "secret.provider.2.v": b"?"}
            for subject, data in unreadable.items():
                await publish_durably(bus, subject, data, msg_id=subject)
            await put_sealed(bus, ring, "secret.provider.3.v", b"x", msg_id="3")
            left = await reseal(bus, ring, "provider")
            assert [line.partition(":")[0] for line in left] == list(unreadable)
            assert await keys_in_use(bus, "provider") == {"k1": 1, "?": 1, "k2": 1}
            for subject, data in unreadable.items():
                assert (await stored(bus, subject)).data == data

    run(main())


def test_a_key_that_left_the_ring_while_its_secret_was_being_stored_is_not_used(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def main() -> None:
        async with bus_of(clean_nats):
            bus = Interrupted(clean_nats.url, name="interrupted")
            await bus.start()
            assert await bus.wait_connected(5)
            ring = ring_file(tmp_path, OLD)

            async def rotated() -> None:
                write_key_ring(tmp_path / "ring.json", NEW)

            bus.meanwhile = rotated
            await put_sealed(bus, ring, SUBJECT, b"x", msg_id="a")
            assert ring.decrypt((await stored(bus)).data, bound_to="provider/1") == b"x"
            assert await keys_in_use(bus, "provider") == {"k2": 1}
            await bus.close()

    run(main())


def test_the_owner_notices_a_new_key_by_itself_and_late_comers_too_and_shows_how_many_are_left(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def main() -> None:
        async with bus_of(clean_nats) as bus:
            ring = ring_file(tmp_path, OLD)
            await put_sealed(bus, ring, SUBJECT, b"x", msg_id="a")
            keeping = asyncio.create_task(keep_resealed(bus, ring, "provider", look=0.01, again=0.1))
            async with asyncio.timeout(10):
                write_key_ring(tmp_path / "ring.json", BOTH)
                while await keys_in_use(bus, "provider") != {"k2": 1}:
                    await asyncio.sleep(0.01)
                late = OLD.encrypt(b"late", bound_to="provider/2")
                await publish_durably(bus, "secret.provider.2.v", late, msg_id="late")
                while await keys_in_use(bus, "provider") != {"k2": 2}:
                    await asyncio.sleep(0.01)
                while shown() != 0:
                    await asyncio.sleep(0.01)
                await publish_durably(bus, "secret.provider.3.v", b"none of ours", msg_id="none")
                while shown() != 1:
                    await asyncio.sleep(0.01)
            keeping.cancel()
            await asyncio.wait([keeping])

    run(main())


def test_nobody_is_told_that_all_is_done_while_nobody_can_look(clean_nats: NatsAddress, tmp_path: Path) -> None:
    """An operator who is shown 0 takes the old key out."""

    async def main() -> None:
        async with bus_of(clean_nats) as bus:
            away = Away(clean_nats.url, name="away")
            await away.start()
            ring = ring_file(tmp_path, OLD)
            await put_sealed(bus, ring, SUBJECT, b"x", msg_id="a")
            keeping = asyncio.create_task(keep_resealed(away, ring, "provider", look=0.01, again=0.02))
            try:
                async with asyncio.timeout(10):
                    while shown() != 0:
                        await asyncio.sleep(0.01)
                    away.away = True
                    write_key_ring(tmp_path / "ring.json", BOTH)
                    while not math.isnan(shown() or 0):
                        await asyncio.sleep(0.01)
                    tries = away.tries
                    while away.tries < tries + 3:
                        assert math.isnan(shown() or 0)
                        await asyncio.sleep(0.01)
                    assert await keys_in_use(bus, "provider") == {"k1": 1}
                    away.away = False
                    while shown() != 0:
                        await asyncio.sleep(0.01)
                    assert await keys_in_use(bus, "provider") == {"k2": 1}
            finally:
                keeping.cancel()
                await asyncio.wait([keeping])
                await away.close()

    run(main())
