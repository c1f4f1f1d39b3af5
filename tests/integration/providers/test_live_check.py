"""Credentials of SES and Scaleway are tried before anything is stored; what was tried is what gets stored."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson
import pytest

from deploy.local.servers import NatsAddress
from libs.common.facts import Actor, new_envelope, parse
from libs.common.facts.provider import ProviderFact, ProviderStopped, Stopped
from libs.common.jetstream.append import append
from libs.common.relay.port import Trouble
from libs.common.vault.keyring import read_key_ring
from services.providers import asking
from tests.integration.providers.accounts import Account, Accounts
from tests.integration.providers.service import PROJECT, Api, fields, providers, scaleway, ses, smtp
from tests.support.aio import run

KEY = "good-secret-key"
KINDS = [
    pytest.param(ses, "ses_credentials", "secret_access_key", "AWS SES", id="ses"),
    pytest.param(scaleway, "scaleway_credentials", "api_key", "Scaleway", id="scaleway"),
]
Make = Callable[..., dict[str, Any]]


def with_account(nats: NatsAddress, directory: Path, scenario: Any, **settings: Any) -> None:
    async def main() -> None:
        account = Account(keys={KEY})
        async with providers(nats.url, directory, relays=Accounts(account), **settings) as api:
            await scenario(api, account)
        assert account.open == 0, "every relay was closed"

    run(main())


async def create(api: Api, body: dict[str, Any], query: str = "") -> Any:
    return await api("POST", f"/api/email-providers{query}", body)


async def change(api: Api, body: dict[str, Any], query: str = "") -> Any:
    return await api("PATCH", f"/api/email-providers/1{query}", body)


async def stop(api: Api) -> None:
    """What the sender says when it finds the credentials at fault."""
    fact = cast("ProviderFact", parse((await api.facts("mail.provider.1"))[-1]))
    at = datetime.now(UTC)
    state = fact.provider.model_copy(update={"stopped": Stopped(reason="denied", at=at)})
    stopped = new_envelope(ProviderStopped(provider=state), source="sender", actor=Actor(id="s", kind="system"), at=at)
    stored = await append(api.bus, stopped)
    position = {"temps-position": f"provider={stored.sequence}"}
    assert (await api("GET", "/api/email-providers/1", headers=position)).json["stopped"] is not None


async def nothing_stored(api: Api) -> bool:
    return await api.names() == [] and await api.secrets() == []


@pytest.mark.parametrize(("make", "block", "member", "label"), KINDS)
def test_good_credentials_are_checked_once_and_stored(
    clean_nats: NatsAddress, tmp_path: Path, make: Make, block: str, member: str, label: str
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        created = await create(api, make())
        assert created.status == 201
        assert account.calls == ["check_credentials"]
        assert created.json["credentials"][member] == "***"
        (secret,) = await api.secrets()
        stored = orjson.loads(read_key_ring(tmp_path / "keyring.json").decrypt(secret.data, bound_to="provider/1"))
        assert stored == make()[block]

    with_account(clean_nats, tmp_path, scenario)


@pytest.mark.parametrize(("make", "block", "member", "label"), KINDS)
def test_rejected_credentials_are_told_in_the_providers_words_and_leave_nothing(
    clean_nats: NatsAddress, tmp_path: Path, make: Make, block: str, member: str, label: str
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        refused = await create(api, make("wrong-secret-key"))
        assert (refused.status, refused.json["error_code"]) == (422, "CREDENTIALS_REJECTED")
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json["detail"] == (
            f"{label} does not accept the credentials: The security token included in the request is invalid."
        )
        assert "?verify=false" in refused.json["suggestion"]
        assert await nothing_stored(api)
        unchecked = await create(api, make("wrong-secret-key"), "?verify=false")
        assert unchecked.status == 201
        assert account.calls == ["check_credentials"]

    with_account(clean_nats, tmp_path, scenario)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("connection", "cannot be reached: no route"),
        ("throttled", "has not refused the credentials: no route"),
        ("quota", "has not refused the credentials: no route"),
    ],
)
def test_a_provider_that_cannot_say_is_no_rejection_and_leaves_nothing(
    clean_nats: NatsAddress, tmp_path: Path, kind: Any, words: str
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        account.trouble = Trouble(kind, "no route")
        refused = await create(api, ses())
        assert (refused.status, refused.json["error_code"]) == (502, "PROVIDER_UNREACHABLE")
        assert words in refused.json["detail"]
        assert refused.json["suggestion"].startswith("Try again")
        assert int(refused.headers["retry-after"]) > 0
        assert await nothing_stored(api)

    with_account(clean_nats, tmp_path, scenario)


def test_words_from_outside_are_cleaned_and_hold_no_secret(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account) -> None:
        text = "denied <key>\r\n\x1b[31m " + "x" * 5_000
        account.trouble = Trouble("configuration", text, suggestion="Not <key>: " + KEY)
        refused = await create(api, ses())
        assert refused.status == 422
        assert KEY not in refused.body.decode()
        assert refused.json["detail"].isprintable()
        assert "denied ***" in refused.json["detail"]
        assert len(refused.json["detail"]) < 600

    with_account(clean_nats, tmp_path, scenario)


def test_settings_that_open_no_relay_are_a_rejection(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        closed = Trouble("configuration", "custom endpoints are not allowed here any more")
        async with providers(clean_nats.url, tmp_path, relays=Accounts(closed=[closed])) as api:
            refused = await create(api, ses())
            assert (refused.status, refused.json["error_code"]) == (422, "CREDENTIALS_REJECTED")
            assert closed.text in refused.json["detail"]

    run(main())


def test_a_silent_provider_is_given_up_and_holds_nobody_else_up(
    clean_nats: NatsAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asking.CHECK_SECONDS + asking.GOODBYE_SECONDS < 10
    monkeypatch.setattr(asking, "CHECK_SECONDS", 1.5)

    async def scenario(api: Api, account: Account) -> None:
        account.held = asyncio.Event()
        slow = asyncio.create_task(create(api, ses()))
        await account.waiting.acquire()
        # The lock is free: others create, change and delete meanwhile.
        assert (await create(api, smtp(name="Quick"))).json["id"] == 1
        assert (await change(api, {"name": "Quicker"})).status == 200
        assert not slow.done()
        refused = await slow
        assert (refused.status, refused.json["error_code"]) == (502, "PROVIDER_UNREACHABLE")
        assert "no answer within 1.5 seconds" in refused.json["detail"]
        assert await api.names() == ["provider.created", "provider.updated"]

    with_account(clean_nats, tmp_path, scenario)


def test_ids_given_away_during_the_check_are_no_trouble(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account) -> None:
        account.held = asyncio.Event()
        slow = asyncio.create_task(create(api, ses(is_default=True)))
        await account.waiting.acquire()
        await api.made(is_default=True)
        account.held.set()
        created = (await slow).json
        assert (created["id"], created["is_default"]) == (2, True)
        assert not (await api("GET", "/api/email-providers/1")).json["is_default"]
        (secret,) = await api.secrets()
        assert secret.subject.startswith("secret.provider.2."), "bound to the id that it got"

    with_account(clean_nats, tmp_path, scenario)


def test_what_needs_no_provider_to_be_refused_is_refused_without_asking_it(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        for body, field in (
            (ses(fallback_provider_ids=[7]), "fallback_provider_ids"),
            (ses(is_default=True, is_active=False), "is_default"),
            (ses(region="fr-par"), "region"),
            (ses(credentials={"endpoint_url": "http://localhost:1"}), "ses_credentials.endpoint_url"),
        ):
            refused = await create(api, body)
            assert (refused.status, fields(refused)) == (400, [field])
        assert account.calls == []

    with_account(clean_nats, tmp_path, scenario)


@pytest.mark.parametrize(("make", "block", "member", "label"), KINDS)
def test_a_change_that_fails_its_check_changes_nothing(
    clean_nats: NatsAddress, tmp_path: Path, make: Make, block: str, member: str, label: str
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        before = (await create(api, make())).json
        await stop(api)
        refused = await change(api, {"name": "Other", block: {member: "wrong-secret-key"}})
        assert (refused.status, refused.json["error_code"]) == (422, "CREDENTIALS_REJECTED")
        shown = (await api("GET", "/api/email-providers/1")).json
        assert (shown["name"], shown["updated_at"]) == (before["name"], before["updated_at"])
        assert shown["stopped"] is not None
        assert len(await api.secrets()) == 1
        unchecked = await change(api, {block: {member: "wrong-secret-key"}}, "?verify=false")
        assert (unchecked.status, unchecked.json["stopped"]) == (200, None)
        assert account.calls == ["check_credentials"] * 2

    with_account(clean_nats, tmp_path, scenario)


@pytest.mark.parametrize(("make", "block", "member", "label"), KINDS)
def test_verified_credentials_let_a_stopped_provider_go_on(
    clean_nats: NatsAddress, tmp_path: Path, make: Make, block: str, member: str, label: str
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        await create(api, make())
        await stop(api)
        account.keys = {"another-secret-key"}
        mended = await change(api, {block: {member: "another-secret-key"}})
        assert (mended.status, mended.json["stopped"]) == (200, None)
        assert (await api.names("mail.provider.1"))[-2:] == ["provider.updated", "provider.resumed"]
        updated = (await api.facts("mail.provider.1"))[-2]
        assert updated.data["changed_fields"] == [f"{block}.{member}"]
        assert b"another-secret-key" not in updated.encode()

    with_account(clean_nats, tmp_path, scenario)


@pytest.mark.parametrize(("make", "region"), [(ses, "us-east-1"), (scaleway, "nl-ams")])
def test_another_region_is_checked_with_the_stored_credentials_and_is_another_route(
    clean_nats: NatsAddress, tmp_path: Path, make: Make, region: str
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        first = (await create(api, make())).json["region"]
        await stop(api)
        account.trouble = Trouble("configuration", "not in this region")
        assert (await change(api, {"region": region})).status == 422
        assert (await change(api, {"region": "nowhere"})).status == 400
        account.trouble = None
        moved = await change(api, {"region": region})
        assert (moved.json["region"], moved.json["stopped"]) == (region, None)
        assert account.regions == [first, region, region]
        assert len(await api.secrets()) == 1, "the secret is the same"

    with_account(clean_nats, tmp_path, scenario)


def test_what_leaves_the_credentials_alone_is_not_checked(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account) -> None:
        created = (await create(api, ses())).json
        await stop(api)
        account.calls.clear()
        untouched: tuple[dict[str, Any], ...] = (
            {"name": "Other"},
            {"name": "Another", "region": created["region"], "ses_credentials": created["credentials"]},
            {"max_connections": 3, "rate_limit_per_second": 2.5, "is_active": False},
            {"region": created["region"]},
            {"ses_credentials": created["credentials"]},
            {"ses_credentials": {"secret_access_key": KEY}},
            {"ses_credentials": {}},
            {},
        )
        for body in untouched:
            answer = await change(api, body)
            assert (answer.status, answer.json["stopped"] is None) == (200, False)
        assert account.calls == []
        assert len(await api.secrets()) == 1

    with_account(clean_nats, tmp_path, scenario)


def test_smtp_is_never_asked(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account) -> None:
        nowhere = {"host": "nowhere.invalid", "username": "u", "password": "p"}
        assert (await create(api, smtp(credentials=nowhere), "?verify=true")).status == 201
        changed = {"smtp_credentials": {"password": "q"}, "region": "elsewhere"}
        assert (await change(api, changed, "?verify=true")).status == 200

    with_account(clean_nats, tmp_path, scenario)


def test_what_was_checked_is_what_is_stored_whoever_else_changes_it_meanwhile(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        await create(api, ses())
        account.keys = {"another-secret-key"}
        account.held = asyncio.Event()
        slow = asyncio.create_task(change(api, {"ses_credentials": {"secret_access_key": "another-secret-key"}}))
        await account.waiting.acquire()
        assert (await change(api, {"region": "us-east-1", "name": "Moved"}, "?verify=false")).status == 200
        account.held.set()
        changed = await slow
        assert (changed.status, changed.json["region"], changed.json["name"]) == (200, "us-east-1", "Moved")
        assert account.regions == ["eu-west-1", "eu-west-1", "us-east-1"], "checked again where it is stored now"

    with_account(clean_nats, tmp_path, scenario)


def test_deleting_a_provider_during_its_check_is_404(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account) -> None:
        await create(api, ses())
        account.held = asyncio.Event()
        slow = asyncio.create_task(change(api, {"region": "us-east-1"}))
        await account.waiting.acquire()
        assert (await api("DELETE", "/api/email-providers/1")).status == 204
        account.held.set()
        assert (await slow).status == 404
        assert await api.names("mail.provider.1") == ["provider.created", "provider.deleted"]

    with_account(clean_nats, tmp_path, scenario)


ENDPOINT = "http://localhost:4566/ses"
BAD_ENDPOINTS = [
    "ftp://localhost", "localhost:4566", "http://", "http://user:pw@localhost", "http://localhost?x=1",
    "http://localhost#x", "http://localhost?", "http://local host", "http://localhost:port", "http://localhost:0",
    "http://lo\\calhost", "http://localhost/" + "x" * 512, "file:///etc/passwd", "http://exa<mple",
]  # fmt: skip


def test_a_custom_endpoint_where_the_operator_allows_it(
    clean_nats: NatsAddress, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        created = await create(api, ses(credentials={"endpoint_url": ENDPOINT}))
        assert created.json["credentials"] == {
            "access_key_id": "AKIA...MPLE",
            "secret_access_key": "***",
            "endpoint_url": ENDPOINT,
        }
        kept: tuple[dict[str, str], ...] = ({"endpoint_url": ""}, {"endpoint_url": ENDPOINT}, {})
        for body in kept:
            assert (await change(api, {"ses_credentials": body})).json == created.json
        for url in BAD_ENDPOINTS:
            with subtests.test(url[:40]):
                for refused in (
                    await create(api, ses(credentials={"endpoint_url": url})),
                    await change(api, {"ses_credentials": {"endpoint_url": url}}),
                ):
                    assert (refused.status, fields(refused)) == (400, ["ses_credentials.endpoint_url"])
        assert account.calls == ["check_credentials"]
        cleared = await change(api, {"ses_credentials": {"endpoint_url": None}})
        assert "endpoint_url" not in cleared.json["credentials"]
        assert account.calls == ["check_credentials"] * 2
        assert (await api.facts("mail.provider.1"))[-1].data["changed_fields"] == ["ses_credentials.endpoint_url"]
        refused = await change(api, {"ses_credentials": {"access_key_id": None}})
        assert (refused.status, fields(refused)) == (400, ["ses_credentials.access_key_id"])

    with_account(clean_nats, tmp_path, scenario, allow_custom_endpoints=True)


def test_an_endpoint_from_before_may_stay_but_not_move_where_it_is_no_longer_allowed(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def before(api: Api, account: Account) -> None:
        assert (await create(api, ses(credentials={"endpoint_url": ENDPOINT}))).status == 201

    async def after(api: Api, account: Account) -> None:
        shown = (await api("GET", "/api/email-providers/1")).json["credentials"]
        assert (await change(api, {"name": "Other", "ses_credentials": shown})).status == 200
        refused = await change(api, {"ses_credentials": {"endpoint_url": "https://other.example"}})
        assert (refused.status, fields(refused)) == (400, ["ses_credentials.endpoint_url"])
        assert (await change(api, {"ses_credentials": {"endpoint_url": None}})).status == 200

    with_account(clean_nats, tmp_path, before, allow_custom_endpoints=True)
    with_account(clean_nats, tmp_path, after)


def test_a_scaleway_project_is_shown_clear_and_can_be_changed(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account) -> None:
        created = await create(api, scaleway(credentials={"project_id": PROJECT.upper()}))
        assert created.json["credentials"] == {"api_key": "***", "project_id": PROJECT}
        other = PROJECT.replace("1", "9")
        changed = await change(api, {"scaleway_credentials": {"project_id": other, "api_key": "***"}})
        assert changed.json["credentials"] == {"api_key": "***", "project_id": other}
        assert account.calls == ["check_credentials"] * 2
        for wrong in ("project", "***", f"{PROJECT}/../x"):
            refused = await change(api, {"scaleway_credentials": {"project_id": wrong}})
            assert (refused.status, fields(refused)) == (400, ["scaleway_credentials.project_id"])
        kept = await change(api, {"scaleway_credentials": {"project_id": ""}})
        assert kept.json == changed.json

    with_account(clean_nats, tmp_path, scenario)


def test_an_api_provider_takes_over_from_the_bundled_inbox_like_any_other(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api, account: Account) -> None:
        await api.made(is_default=True, credentials={"host": "localhost", "port": 1025})
        assert (await create(api, ses(is_active=False))).json["is_default"] is False
        assert (await create(api, scaleway(fallback_provider_ids=[2]))).json["is_default"] is True
        assert (await api("PATCH", "/api/email-providers/2", {"fallback_provider_ids": [3]})).status == 200
        assert (await api("PATCH", "/api/email-providers/2", {"is_active": True, "is_default": True})).json[
            "is_default"
        ]
        assert not (await api("GET", "/api/email-providers/3")).json["is_default"]

    with_account(clean_nats, tmp_path, scenario, local_inbox_smtp="127.0.0.1:1025")
