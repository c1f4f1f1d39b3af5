"""Keys are rotated under a running providers service, and its clean-up trusts no log that is younger than a secret."""

import asyncio
import time
from pathlib import Path
from typing import Any

from deploy.local.servers import NatsAddress
from libs.common.jetstream.bootstrap import bootstrap
from libs.common.jetstream.streams import EVENTS
from libs.common.vault.keyring import KeyRing, RingFile, new_key, read_key_ring, write_key_ring
from libs.common.vault.rotation import keys_in_use, reseal
from services.providers.accounts.credential_store import StoredSecrets
from services.providers.states_fold import Known, known_providers
from tests.integration.providers.service import Api, providers
from tests.support.aio import run

LOGIN = {"username": "postmaster@example.com", "password": "s3cret-pässword"}


def with_service(nats: NatsAddress, directory: Path, scenario: Any) -> None:
    async def main() -> None:
        async with providers(nats.url, directory) as api:
            await scenario(api)

    run(main())


def rotated(file: Path, *, keep: bool = True) -> KeyRing:
    """A further key, active; the others stay or go."""
    before = read_key_ring(file)
    name = f"k{int(before.active[1:]) + 1}"
    ring = KeyRing(name, {**(before.keys if keep else {}), name: new_key()})
    write_key_ring(file, ring)
    return ring


async def known_of(api: Api) -> Known[Any]:
    known = known_providers()
    for fact in await api.facts("mail.provider.*"):
        known.apply(fact)
    return known


async def until_only(api: Api, key: str) -> None:
    async with asyncio.timeout(15):
        while set(await keys_in_use(api.bus, "provider")) != {key}:
            await asyncio.sleep(0.02)


def test_secrets_move_to_the_new_key_while_it_runs_and_no_fact_is_written(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api) -> None:
        for _ in range(3):
            await api.made(credentials=LOGIN)
        before = [(message.subject, message.data) for message in await api.secrets()]
        facts = await api.names()
        ring = rotated(tmp_path / "keyring.json")
        await api("PATCH", "/api/email-providers/1", {"smtp_credentials": {"password": "changed meanwhile"}})
        await until_only(api, "k2")
        write_key_ring(tmp_path / "keyring.json", KeyRing("k2", {"k2": ring.keys["k2"]}))
        after = {message.subject: message.data for message in await api.secrets()}
        assert {subject for subject, _ in before} <= set(after)
        assert all(after[subject] != data for subject, data in before)
        assert await api.names() == [*facts, "provider.updated"], "the PATCH alone"
        stored = StoredSecrets(api.bus, RingFile(tmp_path / "keyring.json"))
        passwords = [
            (await stored.get(each.id, str(each.credential_version)))["password"]
            for each in (await known_of(api)).live.values()
        ]
        assert passwords == ["changed meanwhile", LOGIN["password"], LOGIN["password"]]

    with_service(clean_nats, tmp_path, scenario)


def test_what_was_rotated_while_it_was_down_is_encrypted_anew_at_its_start(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def first(api: Api) -> None:
        await api.made(credentials=LOGIN)

    async def second(api: Api) -> None:
        await until_only(api, "k2")

    with_service(clean_nats, tmp_path, first)
    rotated(tmp_path / "keyring.json")
    with_service(clean_nats, tmp_path, second)


def test_a_key_that_is_missing_while_it_runs_is_unavailable_for_the_moment(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api) -> None:
        await api.made(credentials=LOGIN)
        whole = read_key_ring(tmp_path / "keyring.json")
        rotated(tmp_path / "keyring.json", keep=False)
        change = {"smtp_credentials": {"host": "other.example"}}
        refused = await api("PATCH", "/api/email-providers/1", change)
        assert (refused.status, refused.json["error_code"]) == (503, "UNAVAILABLE")
        assert (await api("POST", "/api/email-providers/1/test", {"from": "a@b.example"})).status == 503
        write_key_ring(tmp_path / "keyring.json", whole)
        assert (await api("PATCH", "/api/email-providers/1", change)).status == 200

    with_service(clean_nats, tmp_path, scenario)


def test_a_log_that_was_lost_and_made_anew_takes_no_credentials_along(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        for _ in range(2):
            await api.made(credentials=LOGIN)
        before = {message.subject for message in await api.secrets()}
        await api.bus.api(f"STREAM.DELETE.{EVENTS}")
        await bootstrap(api.bus, store_bytes=64 * 2**20)
        stored = StoredSecrets(api.bus, RingFile(tmp_path / "keyring.json"))
        assert await stored.clean(known_providers(), unnamed_for=-60) == 0
        # Encrypting them anew makes their messages younger than the log, not the secrets.
        ring = RingFile(tmp_path / "keyring.json")
        rotated(tmp_path / "keyring.json")
        await reseal(api.bus, ring, "provider")
        knows_others = known_providers()
        knows_others.highest = 2
        assert await stored.clean(knows_others, unnamed_for=-60) == 0
        assert {message.subject for message in await api.secrets()} == before
        await stored.put(2, LOGIN)
        await stored.put(3, LOGIN)
        assert await stored.clean(knows_others, unnamed_for=-60) == 1, "its log knows of provider 2, and 3 is to come"
        assert len(await api.secrets()) == 3

    with_service(clean_nats, tmp_path, scenario)


def test_an_old_version_is_as_old_as_it_was_however_often_keys_are_rotated(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api) -> None:
        await api.made(credentials=LOGIN)
        await api("PATCH", "/api/email-providers/1", {"smtp_credentials": {"password": "another"}})
        old, _ = await api.secrets()
        for key in ("k2", "k3"):
            rotated(tmp_path / "keyring.json")
            await until_only(api, key)
        stored, now = StoredSecrets(api.bus, RingFile(tmp_path / "keyring.json")), time.time()
        resealed = next(message for message in await api.secrets() if message.subject == old.subject)
        between = now - (old.time + resealed.time) / 2
        assert await stored.clean(await known_of(api), unnamed_for=between) == 1, "older than that, encrypted since"
        assert old.subject not in {message.subject for message in await api.secrets()}

    with_service(clean_nats, tmp_path, scenario)


def test_clean_up_and_rotation_at_the_same_time_delete_what_no_fact_names_and_nothing_else(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api) -> None:
        ring = RingFile(tmp_path / "keyring.json")
        stored = StoredSecrets(api.bus, ring)
        for number in range(1, 6):
            await api.made(credentials=LOGIN)
            for _ in range(5):
                await stored.put(number, LOGIN)
        known = await known_of(api)
        rotated(tmp_path / "keyring.json")
        for _ in range(5):
            await asyncio.gather(stored.clean(known, unnamed_for=-60), reseal(api.bus, ring, "provider"))
        await until_only(api, "k2")
        await stored.clean(known, unnamed_for=-60)
        named = {f"secret.provider.{each.id}.{each.credential_version}" for each in known.live.values()}
        assert {message.subject for message in await api.secrets()} == named
        assert (await api("GET", "/api/email-providers")).status == 200

    with_service(clean_nats, tmp_path, scenario)
