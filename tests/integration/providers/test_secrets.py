"""Stored credentials: a wrong key ring ends the start, what no fact names is cleaned up, a lost one is told."""

import logging
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from libs.common.jetstream.streams import SECRETS
from libs.common.vault.keyring import RingFile, SecretsError
from services.providers.accounts.credential_store import StoredSecrets
from services.providers.states_fold import known_providers
from tests.integration.providers.service import Api, key_ring, providers
from tests.support.aio import run

LOGIN = {"username": "postmaster@example.com", "password": "s3cret-pässword"}


def with_service(nats: NatsAddress, directory: Path, scenario: Any) -> None:
    async def main() -> None:
        async with providers(nats.url, directory) as api:
            await scenario(api)

    run(main())


def test_the_wrong_key_ring_ends_the_process_with_clear_words(
    clean_nats: NatsAddress, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(api: Api) -> None:
        await api.made(credentials=LOGIN)

    with_service(clean_nats, tmp_path, scenario)
    key_ring(tmp_path / "keyring.json", b"x")
    with caplog.at_level(logging.CRITICAL), pytest.raises(ExceptionGroup) as ended:
        with_service(clean_nats, tmp_path, scenario)
    assert ended.value.subgroup(SecretsError) is not None
    assert "TEMPS_KEYRING_FILE" in caplog.text
    assert "provider 1" in caplog.text


def test_a_key_that_is_missing_is_told_likewise(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        await api.made(credentials=LOGIN)

    with_service(clean_nats, tmp_path, scenario)
    ring = tmp_path / "keyring.json"
    ring.write_text(ring.read_text().replace("k1", "k2"))
    with pytest.raises(ExceptionGroup) as ended:
        with_service(clean_nats, tmp_path, scenario)
    assert ended.value.subgroup(SecretsError) is not None


def test_one_damaged_secret_keeps_nobody_from_mending_it(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def damaged(api: Api) -> None:
        await api.made(credentials=LOGIN)
        await api.made(credentials=LOGIN)
        first, _ = sorted(await api.secrets(), key=lambda each: each.subject)
        await api.bus.publish(first.subject, first.data[:-1] + bytes([first.data[-1] ^ 1]))

    async def mended(api: Api) -> None:
        told = await api("PATCH", "/api/email-providers/1", {"smtp_credentials": {"password": "new"}})
        assert (told.status, "anew" in told.json["suggestion"]) == (409, True)
        assert (await api("PATCH", "/api/email-providers/1", {"smtp_credentials": LOGIN})).status == 200
        assert (await api("PATCH", "/api/email-providers/2", {"smtp_credentials": {"password": "new"}})).status == 200

    with_service(clean_nats, tmp_path, damaged)
    with_service(clean_nats, tmp_path, mended)


def test_versions_that_no_fact_names_are_deleted_when_they_are_old(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        await api.made(credentials=LOGIN)
        await api.made(credentials=LOGIN)
        await api("PATCH", "/api/email-providers/1", {"smtp_credentials": {"password": "another"}})
        await api("DELETE", "/api/email-providers/2")
        assert len(await api.secrets()) == 3
        known = known_providers()
        for fact in await api.facts("mail.provider.*"):
            known.apply(fact)
        stored = StoredSecrets(api.bus, RingFile(tmp_path / "keyring.json"))
        assert await stored.clean(known) == 0, "young ones may be named in a moment"
        assert await stored.clean(known, unnamed_for=-60) == 2
        (left,) = await api.secrets()
        assert left.subject == f"secret.provider.1.{known.live[1].credential_version}"
        assert (await stored.get(1, str(known.live[1].credential_version)))["password"] == "another"

    with_service(clean_nats, tmp_path, scenario)


def test_a_lost_secret_is_told_and_can_be_given_anew(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        await api.made(credentials=LOGIN)
        (secret,) = await api.secrets()
        await api.bus.api(f"STREAM.MSG.DELETE.{SECRETS}", {"seq": secret.sequence})
        assert (await api("PATCH", "/api/email-providers/1", {"name": "Renamed"})).status == 200
        refused = await api("PATCH", "/api/email-providers/1", {"smtp_credentials": {"host": "other.example"}})
        assert (refused.status, "anew" in refused.json["suggestion"]) == (409, True)
        assert (await api("POST", "/api/email-providers/1/test", {"from": "a@b.example"})).status == 409
        mended = await api("PATCH", "/api/email-providers/1", {"smtp_credentials": LOGIN})
        assert mended.json["credentials"]["username"] == "post....com"
        assert len(await api.secrets()) == 1

    with_service(clean_nats, tmp_path, scenario)
