"""Sessions: logging in and out, and what a browser must say besides the cookie."""

import asyncio
import logging
from pathlib import Path

import pytest

from deploy.local.servers import NatsAddress
from libs.common.vault.keyring import KeyRing, SecretsError, new_key, read_key_ring, write_key_ring
from libs.common.vault.rotation import keys_in_use
from tests.integration.gateway.stack import EMAIL, PASSWORD, Answer, Stack, stack

WRONG = "The address or the password is wrong."


async def log_in(made: Stack, email: str = EMAIL, password: str = PASSWORD, **headers: str) -> Answer:
    return await made.call(
        "POST", "/api/session", body={"email": email, "password": password}, key=None, headers=headers
    )


def cookie_of(answer: Answer) -> dict[str, str]:
    return {"Cookie": answer.headers["set-cookie"].partition(";")[0]}


async def test_a_session_is_its_users_and_a_browsers_only_within_this_site(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        answer = await log_in(made, email="ADMIN@temps.localhost")
        assert (answer.status, answer.body, answer.headers["cache-control"]) == (204, b"", "no-store")
        for attribute in ("HttpOnly", "SameSite=Lax", "Path=/"):
            assert attribute in answer.headers["set-cookie"]
        assert "Secure" not in answer.headers["set-cookie"]
        cookie = cookie_of(answer)
        me = (await made.call("GET", "/api/me", key=None, headers=cookie)).json()
        assert (me["principal"], me["user"]["id"]) == ({"id": "user/1", "kind": "session"}, 1)

        bare = await made.call("POST", "/api/emails", body={}, key=None, headers=cookie)
        assert (bare.status, bare.json()["error_code"]) == (403, "CSRF_FAILED")
        other = {**cookie, "Origin": "https://evil.example"}
        assert (await made.call("POST", "/api/emails", body={}, key=None, headers=other)).status == 403
        assert made.services["sender"].seen == []
        own = {**cookie, "Origin": made.url}
        assert (await made.call("POST", "/api/emails", body={}, key=None, headers=own)).status == 200
        fetch = {**cookie, "Sec-Fetch-Site": "same-origin"}
        assert (await made.call("POST", "/api/emails", body={}, key=None, headers=fetch)).status == 200
        assert made.services["sender"].seen[0].principal.kind == "session"


async def test_behind_tls_the_cookie_is_secure(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path, public_url="https://mail.example") as made:
        assert (await log_in(made)).headers["set-cookie"].endswith("; Secure")


async def test_another_site_cannot_log_somebody_in(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        assert (await log_in(made, Origin="https://evil.example")).json()["error_code"] == "CSRF_FAILED"
        assert (await log_in(made, Origin=made.url)).status == 204


async def test_a_wrong_password_and_an_unknown_address_sound_the_same(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        for email, password in ((EMAIL, "wrong"), ("nobody@temps.localhost", PASSWORD)):
            answer = await log_in(made, email, password)
            assert (answer.status, answer.json()["detail"]) == (401, WRONG)
            assert "set-cookie" not in answer.headers


async def test_guessing_is_slowed_also_when_the_guesses_come_side_by_side(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        answers = await asyncio.gather(*(log_in(made, password=f"guess {n}") for n in range(12)))
        statuses = [answer.status for answer in answers]
        assert statuses.count(401) <= 6
        refused = next(answer for answer in answers if answer.status == 429)
        assert int(refused.headers["retry-after"]) >= 1


async def test_an_attacker_keeps_nobody_else_out(clean_nats: NatsAddress, tmp_path: Path) -> None:
    """Five wrong passwords a second from one address: the owner logs in from every other one, each time."""
    async with stack(clean_nats, tmp_path, trusted_proxies="127.0.0.0/8") as made, asyncio.timeout(60):
        stop = asyncio.Event()

        async def attack() -> list[int]:
            statuses = []
            while not stop.is_set():
                attempt = await log_in(made, password="wrong", **{"X-Forwarded-For": "192.0.2.66"})
                statuses.append(attempt.status)
                await asyncio.sleep(0.2)
            return statuses

        attacker = asyncio.create_task(attack())
        owner = []
        for number in range(20):
            began = asyncio.get_running_loop().time()
            answer = await log_in(made, **{"X-Forwarded-For": f"198.51.100.{number}:4711"})
            owner.append((answer.status, asyncio.get_running_loop().time() - began < 4))
            await asyncio.sleep(0.1)
        stop.set()
        assert owner == [(204, True)] * 20
        assert set(await attacker) == {401, 429}


async def test_passwords_that_wait_to_be_checked_are_bounded(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path, trusted_proxies="127.0.0.0/8") as made, asyncio.timeout(60):
        tries = (
            log_in(made, f"{number}@example.com", "wrong", **{"X-Forwarded-For": f"192.0.2.{number}"})
            for number in range(120)
        )
        answers = await asyncio.gather(*tries)
        assert {answer.status for answer in answers} <= {401, 503}
        assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status == 503)


async def test_logging_out_ends_this_session_and_leaves_the_other(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        one, two = cookie_of(await log_in(made)), cookie_of(await log_in(made))
        own = {**one, "Origin": made.url}
        out = await made.call("DELETE", "/api/session", key=None, headers=own)
        assert (out.status, "Max-Age=0" in out.headers["set-cookie"]) == (204, True)
        assert (await made.call("GET", "/api/me", key=None, headers=one)).status == 401
        assert (await made.call("GET", "/api/me", key=None, headers=two)).status == 200


async def test_logging_out_everywhere_ends_them_all_for_ever(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        one, two = cookie_of(await log_in(made)), cookie_of(await log_in(made))
        own = {**one, "Origin": made.url}
        assert (await made.call("DELETE", "/api/session?everywhere=true", key=None, headers=own)).status == 204
        await made.restart()
        for cookie in (one, two):
            assert (await made.call("GET", "/api/me", key=None, headers=cookie)).status == 401
        again = cookie_of(await log_in(made))
        assert (await made.call("GET", "/api/me", key=None, headers=again)).status == 200


async def test_an_api_key_has_no_session_to_end(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async with stack(clean_nats, tmp_path) as made:
        assert (await made.call("DELETE", "/api/session")).status == 401


async def test_the_passwords_hash_is_encrypted_and_no_fact_or_answer_holds_it(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        stored = await made.bus.direct_last("MAIL_SECRETS", "secret.user.1.*")
        fact = await made.bus.direct_last("MAIL_EVENTS", "mail.user.1")
        assert stored is not None
        assert fact is not None
        assert stored.data.startswith(b"t1:k1:")
        for data in (stored.data, fact.data):
            assert b"argon2" not in data
            assert PASSWORD.encode() not in data
        users = await made.call("GET", "/api/users")
        assert [user["email"] for user in users.json()["data"]] == [EMAIL]
        assert (await made.call("GET", "/api/users/1")).json()["role"] == "admin"
        assert (await made.call("GET", "/api/users/2")).status == 404


async def test_keys_are_rotated_while_people_log_in_and_a_key_that_is_missing_is_told_as_such(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async with stack(clean_nats, tmp_path) as made:
        file = tmp_path / "ring"
        first, second = read_key_ring(file), new_key()
        write_key_ring(file, KeyRing("k2", {**first.keys, "k2": second}))
        assert (await log_in(made)).status == 204
        async with asyncio.timeout(15):
            while set(await keys_in_use(made.bus, "user")) != {"k2"}:
                await asyncio.sleep(0.05)
        write_key_ring(file, first)
        refused = await log_in(made)
        assert (refused.status, refused.json()["error_code"]) == (503, "UNAVAILABLE")
        write_key_ring(file, KeyRing("k2", {"k2": second}))
        assert (await log_in(made)).status == 204


async def test_another_installations_ring_ends_the_start(
    clean_nats: NatsAddress, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def started_anew_with_another_ring() -> None:
        async with stack(clean_nats, tmp_path) as made:
            write_key_ring(tmp_path / "ring", KeyRing("k1", {"k1": new_key()}))
            await made.restart()

    with caplog.at_level(logging.CRITICAL), pytest.raises(ExceptionGroup) as ended:
        await started_anew_with_another_ring()
    assert ended.value.subgroup(SecretsError) is not None
    assert "user 1" in caplog.text
    assert "TEMPS_KEYRING_FILE" in caplog.text
