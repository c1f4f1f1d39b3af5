"""API keys: made, listed, used, expired, revoked; and who may do that."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from libs.common import apikey
from libs.common.facts import decode
from libs.common.jetstream.streams import EVENTS
from tests.integration.gateway.stack import PASSWORD, Stack, stack


async def log_of(made: Stack, subject: str) -> list[dict[str, Any]]:
    facts = []
    async for message in made.bus.direct_batch(EVENTS, subject):
        envelope = decode(message.data, log_subject=message.subject, stream=EVENTS, sequence=message.sequence)
        facts.append(
            {"type": envelope.type, "actor": envelope.actor, "correlation": envelope.correlationid, **envelope.data}
        )
    return facts


async def new_key(made: Stack, **asked: Any) -> dict[str, Any]:
    answer = await made.call("POST", "/api/api-keys", body={"name": "shop", **asked})
    assert answer.status == 201, answer.body
    made_key: dict[str, Any] = answer.json()
    return made_key


async def test_the_first_start_makes_one_admin_and_one_key_and_no_start_makes_them_again(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        me = (await made.call("GET", "/api/me")).json()
        assert (me["user"]["email"], me["user"]["role"]) == ("admin@temps.localhost", "admin")
        assert me["principal"] == {"id": "key/1", "kind": "key"}
        assert "epoch" not in me["user"]
        assert "credential_version" not in me["user"]
        await made.restart()
        assert (await made.call("GET", "/api/me")).status == 200
        assert [fact["type"] for fact in await log_of(made, "mail.user.*")] == ["user.created.v1"]
        assert [fact["type"] for fact in await log_of(made, "mail.key.*")] == ["key.created.v1"]


async def test_a_revoked_first_key_never_comes_back(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        assert (await made.call("DELETE", "/api/api-keys/1")).status == 204
        assert (await made.call("GET", "/api/me")).status == 401
        await made.restart()
        assert (await made.call("GET", "/api/me")).status == 401
        kinds = [fact["type"] for fact in await log_of(made, "mail.key.*")]
        assert kinds == ["key.created.v1", "key.deleted.v1"]


async def test_a_key_is_shown_once_and_its_fact_holds_only_the_digest(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        key = await new_key(made, scopes=["emails:send"])
        assert (key["id"], key["user_id"], key["role"], key["scopes"]) == (2, 1, None, ["emails:send"])
        listed = await made.call("GET", "/api/api-keys")
        assert [entry["id"] for entry in listed.json()["data"]] == [2, 1]
        assert listed.json()["total"] == 2
        assert key["key"].encode() not in listed.body
        assert b"sha256" not in listed.body
        fact = (await log_of(made, "mail.key.2"))[0]
        assert fact["key"]["sha256"] == apikey.digest(key["key"])
        assert key["key"] not in str(fact)
        assert (fact["actor"]["id"], fact["actor"]["user_id"], fact["actor"]["ip"]) == ("key/1", 1, "127.0.0.1")


async def test_a_new_key_works_at_once_with_its_scopes_and_no_others(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        key = (await new_key(made, scopes=["emails:send", "emails:read"]))["key"]
        await made.call("POST", "/api/emails", body={}, key=key)
        seen = made.services["sender"].seen[0].principal
        assert (seen.id, sorted(seen.scopes)) == ("key/2", ["emails:read", "emails:send"])
        refused = await made.call("GET", "/api/api-keys", key=key)
        assert (refused.status, refused.json()["required_permission"]) == (403, "api_keys:read")


async def test_a_revoked_key_is_refused_by_the_very_next_request(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        key = await new_key(made, role="user")
        for _ in range(3):
            assert (await made.call("GET", "/api/me", key=key["key"])).status == 200
        assert (await made.call("DELETE", f"/api/api-keys/{key['id']}")).status == 204
        refused = await made.call("GET", "/api/me", key=key["key"])
        assert (refused.status, refused.json()["error_code"]) == (401, "UNAUTHORIZED")
        assert (await made.call("DELETE", f"/api/api-keys/{key['id']}")).status == 404


async def test_ids_of_revoked_keys_are_not_used_again(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        await made.call("DELETE", f"/api/api-keys/{(await new_key(made, role='user'))['id']}")
        await made.restart()
        assert (await new_key(made, role="user"))["id"] == 3


async def test_a_key_ends_at_its_expiry(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        end = time.time() + 1.5
        text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end)) + f".{int(end % 1 * 1e6):06d}Z"
        key = (await new_key(made, role="user", expires_at=text))["key"]
        assert (await made.call("GET", "/api/me", key=key)).status == 200
        async with asyncio.timeout(10):
            while (answer := await made.call("GET", "/api/me", key=key)).status == 200:
                await asyncio.sleep(0.05)
        assert time.time() >= end
        assert (answer.status, answer.json()["detail"]) == (401, "The API key has expired.")


async def test_an_expiry_is_shown_in_utc(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        made_key = await new_key(made, role="user", expires_at="2099-01-01T02:00:00+02:00")
        assert made_key["expires_at"] == "2099-01-01T00:00:00Z"
        listed = (await made.call("GET", "/api/api-keys")).json()["data"][0]
        assert listed["expires_at"] == "2099-01-01T00:00:00Z"


async def test_a_key_cannot_make_a_stronger_one(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        weak = (await new_key(made, scopes=["api_keys:write", "emails:read"]))["key"]
        body = {"name": "x", "scopes": ["emails:read", "emails:send"]}
        refused = await made.call("POST", "/api/api-keys", body=body, key=weak)
        assert (refused.status, refused.json()["required_permission"]) == (403, "emails:send")
        body["scopes"] = ["emails:read"]
        assert (await made.call("POST", "/api/api-keys", body=body, key=weak)).status == 201


async def test_ten_keys_made_at_once_get_ten_ids(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        keys = await asyncio.gather(*(new_key(made, role="reader", name=f"n{n}") for n in range(10)))
        assert sorted(key["id"] for key in keys) == list(range(2, 12))
        for key in keys:
            assert (await made.call("GET", "/api/me", key=key["key"])).json()["principal"]["id"] == f"key/{key['id']}"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({}, "No API key"),
        ({"Authorization": "Bearer nonsense"}, "checksum"),
        ({"Authorization": "Bearer "}, "checksum"),
        ({"Authorization": "Bearer tk_\u00fc"}, "checksum"),
        ({"Authorization": "Basic YTpi"}, "Bearer"),
        ({"Authorization": f"Bearer {apikey.new_key()}"}, "not known"),
        ({"Cookie": "temps_session=abc.def"}, "session"),
    ],
)
async def test_who_is_not_known_is_told_how_to_be(
    clean_nats: NatsAddress, tmp_path: Path, headers: dict[str, str], words: str
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        answer = await made.call("GET", "/api/emails", headers=headers, key=None)
        assert (answer.status, answer.headers["content-type"]) == (401, "application/problem+json")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert words in answer.json()["detail"]
        assert "Authorization: Bearer tk_" in answer.json()["suggestion"]
        assert made.services["analytics"].seen == []


async def test_a_flood_of_unknown_keys_asks_the_log_a_few_times_only(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        asked = 0
        refresh = made.gateway.authenticator.key_view._view.refresh  # type: ignore[attr-defined]  # the adapter's inside

        async def counted() -> bool:
            nonlocal asked
            asked += 1
            return bool(await refresh())

        made.gateway.authenticator.key_view._view.refresh = counted  # type: ignore[attr-defined]  # as above
        began = time.monotonic()
        answers = await asyncio.gather(*(made.call("GET", "/api/me", key=apikey.new_key()) for _ in range(100)))
        assert {answer.status for answer in answers} == {401}
        assert 1 <= asked <= 2 + (time.monotonic() - began) * 20


async def test_when_the_log_is_silent_known_keys_go_on_and_unknown_ones_hear_503(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        made.take_nats_away()
        assert (await made.call("GET", "/api/emails")).status == 200
        assert (await made.call("POST", "/api/emails", body={})).status == 200
        answer = await made.call("GET", "/api/emails", key=apikey.new_key())
        assert (answer.status, answer.json()["error_code"]) == (503, "NOT_CAUGHT_UP")
        ready = await made.call("GET", "/readyz", key=None)
        assert (ready.status, ready.json()) == (200, {"status": "degraded", "degraded": ["nats"]})
        refused = await made.call("POST", "/api/api-keys", body={"name": "x", "role": "user"})
        assert refused.status == 503


@pytest.mark.parametrize(("silence", "reads", "writes"), [(29.0, 200, 200), (31.0, 200, 503), (301.0, 503, 503)])
async def test_after_long_silence_writes_end_first_and_then_reads(
    clean_nats: NatsAddress, tmp_path: Path, silence: float, reads: int, writes: int
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        made.take_nats_away()
        view = made.gateway.authenticator.key_view._view  # type: ignore[attr-defined]  # the adapter's inside
        view._heard = time.monotonic() - silence
        read, write = await made.call("GET", "/api/emails"), await made.call("POST", "/api/emails", body={})
        assert (read.status, write.status) == (reads, writes)
        public = await made.call("GET", "/api/emails/x/track/open", key=None)
        assert public.status == 200


async def test_a_rate_limit_counts_per_key_and_says_so(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path, rate_limit_per_second=0.01) as made:
        # Waiting for readiness asked nothing of a key.
        first = await made.call("GET", "/api/emails")
        assert (first.status, first.headers["ratelimit-limit"], first.headers["ratelimit-remaining"]) == (200, "1", "0")
        second = await made.call("GET", "/api/emails")
        assert (second.status, second.json()["error_code"]) == (429, "RATE_LIMITED")
        assert int(second.headers["retry-after"]) == int(second.headers["ratelimit-reset"]) == 100
        login = {"email": "admin@temps.localhost", "password": PASSWORD}
        session = await made.call("POST", "/api/session", body=login, key=None)
        assert session.status == 204
        cookie = {"Cookie": session.headers["set-cookie"].partition(";")[0]}
        assert (await made.call("GET", "/api/emails", key=None, headers=cookie)).status == 200
