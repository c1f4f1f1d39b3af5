"""Sending domains at a provider with an API, and in DNS: registered, verified, deleted."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from libs.common.facts.domain import DomainStatus
from libs.common.relay.port import Identity, Trouble
from services.providers import asking
from tests.integration.providers.accounts import SPF, Account, Accounts, records_for
from tests.integration.providers.service import Api, providers, scaleway, ses
from tests.support.aio import run
from tests.support.name_server import NameServer

KEY_NAME = "key._domainkey.a.example"


def with_account(nats: NatsAddress, directory: Path, scenario: Any) -> None:
    """One SES provider, and a name server that knows nothing yet."""

    async def main() -> None:
        account = Account(keys={"good-secret-key"})
        relays = Accounts(account)
        async with (
            NameServer() as server,
            providers(nats.url, directory, relays=relays, dns_resolver=server.address) as api,
        ):
            assert (await api("POST", "/api/email-providers", ses())).status == 201
            account.calls.clear()
            await scenario(api, account, server)
        assert account.open == 0, "every relay was closed"

    run(main())


async def register(api: Api, domain: str = "a.example", provider_id: int = 1) -> Any:
    return await api("POST", "/api/email-domains", {"provider_id": provider_id, "domain": domain})


async def verify(api: Api) -> Any:
    answer = await api("POST", "/api/email-domains/1/verify")
    assert answer.status == 200, answer.body
    return answer.json


def publish(server: NameServer, domain: str = "a.example") -> None:
    """Everything that the account asks for, as a diligent owner would."""
    for record in records_for(domain):
        value = f"10 {record.value}." if record.record_type == "MX" else record.value
        server.publish(record.name, record.record_type, f"{value}." if record.record_type == "CNAME" else value)


def says(account: Account, status: DomainStatus, word: str = "unknown", error: str | None = None) -> None:
    account.says("a.example", Identity(status, records_for("a.example", word), error))


def statuses(answer: Any) -> list[str]:
    return [record["status"] for record in answer["dns_records"]]


def test_a_domain_is_registered_at_its_provider_with_the_records_to_publish(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        answer = await register(api, "Bücher.Example")
        assert answer.status == 201
        name = "xn--bcher-kva.example"
        assert account.calls == [f"create_identity {name}"]
        domain = answer.json["domain"]
        assert (domain["domain"], domain["status"], domain["last_verified_at"]) == (name, "pending", None)
        assert domain["verification_error"] is None
        records = answer.json["dns_records"]
        assert records == [record.model_dump() for record in records_for(name)]
        assert (await api("GET", "/api/email-domains/1")).json == answer.json
        assert (await api("GET", "/api/email-domains/1/dns-records")).json == records
        assert account.calls == [f"create_identity {name}"], "reading calls nobody"
        assert server.asked == []

    with_account(clean_nats, tmp_path, scenario)


def test_a_domain_is_verified_when_provider_and_dns_agree(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        await register(api)
        pending = await verify(api)
        assert pending["domain"]["status"] == "pending"
        assert statuses(pending) == ["pending"] * 5
        for name in ("TXT send.a.example", f"TXT {KEY_NAME}", "CNAME token._domainkey.a.example"):
            assert name in pending["domain"]["verification_error"]
        assert "MX" not in pending["domain"]["verification_error"]
        publish(server)
        unconfirmed = await verify(api)
        assert (unconfirmed["domain"]["status"], statuses(unconfirmed)) == ("pending", ["verified"] * 5)
        assert unconfirmed["domain"]["verification_error"] == "The provider has not confirmed the domain yet"
        says(account, "verified")
        done = await verify(api)
        assert (done["domain"]["status"], done["domain"]["verification_error"]) == ("verified", None)
        assert done["domain"]["last_verified_at"] is not None
        assert (await api("GET", "/api/email-domains/1")).json == done
        assert await api.names("mail.domain.1") == [
            "domain.created",
            "domain.verification_failed",
            "domain.verification_failed",
            "domain.verified",
        ]

    with_account(clean_nats, tmp_path, scenario)


def test_wrong_content_fails_with_what_was_found_and_mends(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        await register(api)
        says(account, "verified")
        publish(server)
        server.publish("send.a.example", "TXT", "v=spf1 include:other.example -all")
        failed = await verify(api)
        assert failed["domain"]["status"] == "failed"
        assert (
            'include:spf.account.example is not in "v=spf1 include:other.example -all"'
            in (failed["domain"]["verification_error"])
        )
        assert statuses(failed)[0] == "failed"
        server.publish("send.a.example", "TXT", SPF, "v=spf1 -all")
        assert "2 SPF records" in (await verify(api))["domain"]["verification_error"]
        server.publish("send.a.example", "TXT", "unrelated", f"v=spf1 ip4:192.0.2.1 {SPF.removeprefix('v=spf1 ')}")
        server.forget("_dmarc.a.example", "TXT")
        server.publish("send.a.example", "MX", "5 somebody.example.")
        mended = await verify(api)
        assert mended["domain"]["status"] == "verified", "MX and DMARC never gate"
        assert statuses(mended) == ["verified", "verified", "verified", "failed", "pending"]

    with_account(clean_nats, tmp_path, scenario)


def test_the_providers_failed_wins_and_its_reason_is_shown(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        await register(api)
        publish(server)
        says(account, "failed", error="the domain is on a list of ours")
        failed = (await verify(api))["domain"]
        assert (failed["status"], failed["verification_error"]) == ("failed", "the domain is on a list of ours")

    with_account(clean_nats, tmp_path, scenario)


def test_what_the_provider_vouches_for_needs_no_dns_of_ours(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        await register(api)
        says(account, "verified", "verified")
        done = await verify(api)
        assert (done["domain"]["status"], statuses(done)) == ("verified", ["verified"] * 5)

    with_account(clean_nats, tmp_path, scenario)


def test_a_name_server_away_is_temporary_and_a_verified_domain_outlives_it(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        await register(api)
        says(account, "verified")
        publish(server)
        server.broken |= {"send.a.example", KEY_NAME, "token._domainkey.a.example"}
        away = (await verify(api))["domain"]
        assert away["status"] == "temporary_failure"
        assert "DNS could not be asked for TXT send.a.example" in away["verification_error"]
        server.broken.clear()
        good = await verify(api)
        assert good["domain"]["status"] == "verified"
        server.broken.add("send.a.example")
        still = await verify(api)
        assert (still["domain"]["status"], statuses(still)) == ("verified", ["verified"] * 5)
        assert still["domain"]["last_verified_at"] == good["domain"]["last_verified_at"]
        assert "stays verified" in still["domain"]["verification_error"]
        server.broken.clear()
        server.forget("send.a.example", "TXT")
        assert (await verify(api))["domain"]["status"] == "pending", "known to be gone"

    with_account(clean_nats, tmp_path, scenario)


CANNOT: list[tuple[dict[str, Any], int, str, str]] = [
    ({"refusal": "Domain <b> is not wanted\x07 here"}, 422, "IDENTITY_REFUSED", "is not wanted here"),
    ({"trouble": Trouble("configuration", "no such key")}, 422, "CREDENTIALS_REJECTED", "no such key"),
    ({"trouble": Trouble("connection", "no route")}, 502, "PROVIDER_UNREACHABLE", "no route"),
    ({"trouble": Trouble("throttled", "slow down")}, 502, "PROVIDER_UNREACHABLE", "slow down"),
    ({"trouble": Trouble("connection", "echo <key>")}, 502, "PROVIDER_UNREACHABLE", "echo ***"),
]


@pytest.fixture(params=CANNOT, ids=[f"{status} {code}" for _, status, code, _ in CANNOT])
def obstacle(request: pytest.FixtureRequest) -> tuple[dict[str, Any], int, str, str]:
    given: tuple[dict[str, Any], int, str, str] = request.param
    return given


def meet(account: Account, obstacle: dict[str, Any]) -> None:
    account.refusal, account.trouble = obstacle.get("refusal"), obstacle.get("trouble")


def test_what_the_provider_refuses_is_told_and_nothing_is_registered_or_deleted(
    clean_nats: NatsAddress, tmp_path: Path, obstacle: tuple[dict[str, Any], int, str, str]
) -> None:
    way, status, code, words = obstacle

    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        meet(account, way)
        refused = await register(api)
        assert (refused.status, refused.json["error_code"]) == (status, code)
        assert words in refused.json["detail"].replace("  ", " ")
        assert await api.names("mail.domain.*") == []
        meet(account, {})
        assert (await register(api)).status == 201, "the name is free, and an identity that is there is taken up"
        meet(account, way)
        kept = await api("DELETE", "/api/email-domains/1?delete_from_provider=true")
        assert (kept.status, kept.json["error_code"]) == (status, code)
        assert (await api("GET", "/api/email-domains/1")).status == 200
        assert (await api("DELETE", "/api/email-domains/1")).status == 204, "here it can always be deleted"
        assert "a.example" in account.identities

    with_account(clean_nats, tmp_path, scenario)


def test_a_check_that_could_not_be_made_records_nothing(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        await register(api)
        account.trouble = Trouble("connection", "no route")
        assert (await api("POST", "/api/email-domains/1/verify")).status == 502
        account.trouble = Trouble("configuration", "no such key")
        assert (await api("POST", "/api/email-domains/1/verify")).status == 422
        assert await api.names("mail.domain.1") == ["domain.created"]

    with_account(clean_nats, tmp_path, scenario)


def test_a_domain_that_its_provider_does_not_know_any_more_has_failed(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        await register(api)
        publish(server)
        says(account, "verified", "verified")
        assert (await verify(api))["domain"]["status"] == "verified"
        account.identities.clear()
        server.forget("send.a.example", "MX")
        gone = await verify(api)
        assert gone["domain"]["status"] == "failed"
        assert gone["domain"]["verification_error"] == (
            "The provider refuses the domain: there is no identity a.example"
        )
        assert statuses(gone) == ["verified", "verified", "verified", "pending", "verified"], "by DNS alone"

    with_account(clean_nats, tmp_path, scenario)


def test_deleting_at_the_provider_too_works_also_when_it_is_gone_there(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        for gone in (False, True):
            id = (await register(api)).json["domain"]["id"]
            if gone:
                account.identities.clear()
            assert (await api("DELETE", f"/api/email-domains/{id}?delete_from_provider=true")).status == 204
            assert account.identities == {}
            assert account.calls[-1] == "delete_identity a.example"
        id = (await register(api)).json["domain"]["id"]
        assert (await api("DELETE", f"/api/email-domains/{id}")).status == 204
        assert "a.example" in account.identities

    with_account(clean_nats, tmp_path, scenario)


def test_a_duplicate_never_reaches_the_provider_and_a_double_click_makes_one(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        account.held = asyncio.Event()
        first = asyncio.create_task(register(api))
        await account.waiting.acquire()
        second = await register(api, "A.EXAMPLE")
        assert (second.status, second.json["error_code"]) == (409, "DUPLICATE_DOMAIN")
        account.held.set()
        assert (await first).status == 201
        third = await register(api)
        assert (third.status, third.json["error_code"]) == (409, "DUPLICATE_DOMAIN")
        assert account.calls == ["create_identity a.example"]

    with_account(clean_nats, tmp_path, scenario)


def test_the_provider_is_asked_without_holding_others_up_and_not_for_ever(
    clean_nats: NatsAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asking.IDENTITY_SECONDS + asking.GOODBYE_SECONDS < 10
    monkeypatch.setattr(asking, "IDENTITY_SECONDS", 1.5)

    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        await api.made()
        assert (await register(api, "b.example")).json["domain"]["id"] == 1
        account.held = asyncio.Event()
        slow = [
            asyncio.create_task(register(api, "c.example")),
            asyncio.create_task(api("POST", "/api/email-domains/1/verify")),
            asyncio.create_task(api("DELETE", "/api/email-domains/1?delete_from_provider=true")),
        ]
        for _ in slow:
            await account.waiting.acquire()
        assert (await register(api, "quick.example", provider_id=2)).status == 201
        assert (await api("PATCH", "/api/email-providers/2", {"name": "Quick"})).status == 200
        assert not any(task.done() for task in slow)
        for answer in await asyncio.gather(*slow):
            assert (answer.status, answer.json["error_code"]) == (502, "PROVIDER_UNREACHABLE")
        account.held = None
        assert (await register(api, "c.example")).status == 201, "the name is free again"

    with_account(clean_nats, tmp_path, scenario)


def test_of_two_processes_one_registers_a_name_and_the_identity_stays_its_own(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def main() -> None:
        account = Account()
        async with AsyncExitStack() as stack:
            one, other = [
                await stack.enter_async_context(providers(clean_nats.url, tmp_path, relays=Accounts(account)))
                for _ in range(2)
            ]
            await one("POST", "/api/email-providers", ses())
            await other("POST", "/api/email-providers", scaleway())
            account.held = asyncio.Event()
            racing = [asyncio.create_task(register(one)), asyncio.create_task(register(other, provider_id=2))]
            for _ in racing:
                await account.waiting.acquire()
            account.held.set()
            answers = await asyncio.gather(*racing)
            assert sorted(answer.status for answer in answers) == [201, 409]
            assert list(account.identities) == ["a.example"]
            assert await one.names("mail.domain.*") == ["domain.created"]

    run(main())


def test_a_provider_deleted_while_it_was_asked_leaves_no_domain(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        account.held = asyncio.Event()
        slow = asyncio.create_task(register(api))
        await account.waiting.acquire()
        assert (await api("DELETE", "/api/email-providers/1?force=true")).status == 204
        account.held.set()
        assert (await slow).status == 404
        assert (await api("GET", "/api/email-domains")).json == []

    with_account(clean_nats, tmp_path, scenario)


def test_force_takes_the_domains_along_and_leaves_the_providers_identities(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        await register(api)
        await api("POST", "/api/email-providers", scaleway(fallback_provider_ids=[1]))
        account.calls.clear()
        account.trouble = Trouble("connection", "no route")
        assert (await api("DELETE", "/api/email-providers/1")).json["error_code"] == "PROVIDER_IN_USE"
        assert (await api("DELETE", "/api/email-providers/1?force=true")).status == 204
        assert (await api("GET", "/api/email-domains/1")).status == 404
        assert (await api("GET", "/api/email-providers/2")).json["fallback_provider_ids"] == []
        assert account.calls == []
        assert list(account.identities) == ["a.example"]

    with_account(clean_nats, tmp_path, scenario)


def test_a_verification_that_comes_after_the_deletion_is_404(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, account: Account, server: NameServer) -> None:
        await register(api)
        account.held = asyncio.Event()
        slow = asyncio.create_task(api("POST", "/api/email-domains/1/verify"))
        await account.waiting.acquire()
        assert (await api("DELETE", "/api/email-domains/1")).status == 204
        account.held.set()
        assert (await slow).status == 404
        assert await api.names("mail.domain.1") == ["domain.created", "domain.deleted"]

    with_account(clean_nats, tmp_path, scenario)
