"""The service over the real adapters: SES and Scaleway as servers on the wire, DNS beside them."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.local.servers import NatsAddress
from tests.integration.providers.service import ADDRESS, Api, providers, scaleway, ses
from tests.integration.relay.kinds import require
from tests.integration.relay.kinds_ses import KINDS
from tests.support import emulators
from tests.support.aio import run
from tests.support.name_server import NameServer
from tests.support.scaleway import ScalewayServer
from tests.support.scaleway_shapes import Act as ScalewayAct
from tests.support.ses import ACCESS_KEY_ID, SECRET_ACCESS_KEY, Act, SesServer

SENDER = {"from": "Shop <hello@a.example>"}


def ses_at(url: str, secret: str = SECRET_ACCESS_KEY) -> dict[str, Any]:
    return ses(secret, credentials={"access_key_id": ACCESS_KEY_ID, "endpoint_url": url})


def with_ses(nats: NatsAddress, directory: Path, scenario: Any) -> None:
    async def main() -> None:
        async with (
            SesServer() as server,
            NameServer() as names,
            providers(nats.url, directory, allow_custom_endpoints=True, dns_resolver=names.address) as api,
        ):
            await scenario(api, server, names)

    run(main())


def with_scaleway(nats: NatsAddress, directory: Path, scenario: Any) -> None:
    async def main() -> None:
        async with (
            ScalewayServer() as server,
            NameServer() as names,
            providers(nats.url, directory, scaleway_api_url=server.url, dns_resolver=names.address) as api,
        ):
            project = server.project
            body = scaleway(project.secret_key, credentials={"project_id": project.project_id})
            await scenario(api, server, names, body)

    run(main())


def publish(names: NameServer, records: Sequence[dict[str, Any]]) -> None:
    """What the answer asks for, as a diligent owner would."""
    for record in records:
        value = f"{record['priority']} {record['value']}." if record["record_type"] == "MX" else record["value"]
        names.publish(record["name"], record["record_type"], f"{value}." if record["record_type"] == "CNAME" else value)


async def create(api: Api, body: dict[str, Any], query: str = "") -> Any:
    return await api("POST", f"/api/email-providers{query}", body)


async def register(api: Api) -> Any:
    return await api("POST", "/api/email-domains", {"provider_id": 1, "domain": "a.example"})


async def verify(api: Api) -> Any:
    return await api("POST", "/api/email-domains/1/verify")


async def check(api: Api) -> Any:
    answer = await api("POST", "/api/email-providers/1/test", SENDER)
    assert answer.status == 200, answer.body
    return answer.json


def test_ses_checks_registers_verifies_tests_and_deletes(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, server: SesServer, names: NameServer) -> None:
        refused = await create(api, ses_at(server.url, "wrong-secret-key"))
        assert (refused.status, refused.json["error_code"]) == (422, "CREDENTIALS_REJECTED"), refused.body
        assert "wrong-secret-key" not in refused.body.decode()
        created = await create(api, ses_at(server.url))
        assert created.status == 201, created.body
        assert created.json["credentials"]["endpoint_url"] == server.url
        early = await check(api)
        assert not early["success"]
        assert "Email address is not verified" in early["error"]
        registered = await register(api)
        assert registered.status == 201, registered.body
        records = registered.json["dns_records"]
        assert [record["record_type"] for record in records if record["required"]] == ["TXT", "CNAME", "CNAME", "CNAME"]
        assert registered.json["domain"]["status"] == "pending"
        pending = (await verify(api)).json["domain"]
        assert pending["status"] == "pending"
        assert pending["verification_error"].count("_domainkey.a.example") == 3
        publish(names, records)
        server.account.publish("a.example")
        done = await verify(api)
        assert done.json["domain"]["status"] == "verified", done.body
        assert {record["status"] for record in done.json["dns_records"]} == {"verified"}
        names.publish("send.a.example", "TXT", "v=spf1 -all")
        assert (await verify(api)).json["domain"]["status"] == "failed", "SES never looks at SPF: DNS decides"
        tested = await check(api)
        assert tested["success"]
        (letter,) = server.account.letters
        assert letter.recipients == (ADDRESS,)
        assert tested["provider_message_id"].startswith("0102018f")
        assert (await api("DELETE", "/api/email-domains/1?delete_from_provider=true")).status == 204
        assert server.account.identities == {}

    with_ses(clean_nats, tmp_path, scenario)


def test_ses_without_the_right_to_set_mail_from_has_the_domain_with_the_reason(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api, server: SesServer, names: NameServer) -> None:
        await create(api, ses_at(server.url))
        server.account.denied.add("PutEmailIdentityMailFromAttributes")
        registered = await register(api)
        assert registered.status == 201
        failed = {record["record_type"] for record in registered.json["dns_records"] if record["status"] == "failed"}
        assert failed == {"TXT", "MX"}
        assert "send.a.example" in registered.json["domain"]["verification_error"]
        publish(names, registered.json["dns_records"])
        server.account.identities["a.example"].status = "SUCCESS"
        assert (await verify(api)).json["domain"]["status"] == "failed", "the provider's own failed wins"
        server.account.denied.clear()
        server.account.identities["a.example"].mail_from_status = "SUCCESS"
        assert (await verify(api)).json["domain"]["status"] == "verified", "asked for again, and granted"

    with_ses(clean_nats, tmp_path, scenario)


def test_a_silent_ses_is_given_up_within_ten_seconds_and_an_absent_one_at_once(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api, server: SesServer, names: NameServer) -> None:
        server.script["GetAccount"] = Act(then="hang")
        begun = asyncio.get_running_loop().time()
        refused = await create(api, ses_at(server.url))
        assert (refused.status, refused.json["error_code"]) == (502, "PROVIDER_UNREACHABLE"), refused.body
        assert asyncio.get_running_loop().time() - begun < 10
        await server.leave()
        gone = await create(api, ses_at(server.url))
        assert (gone.status, gone.json["error_code"]) == (502, "PROVIDER_UNREACHABLE"), gone.body
        assert await api.names() == []

    with_ses(clean_nats, tmp_path, scenario)


def test_an_endpoint_among_our_own_servers_is_never_reached(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, server: SesServer, names: NameServer) -> None:
        for url in (clean_nats.url.replace("nats://", "http://"), "http://169.254.169.254/"):
            refused = await create(api, ses_at(url))
            assert refused.status in (422, 502), refused.body
        assert await api.names() == []

    with_ses(clean_nats, tmp_path, scenario)


def test_scaleway_checks_registers_verifies_tests_and_deletes(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, server: ScalewayServer, names: NameServer, body: dict[str, Any]) -> None:
        wrong = scaleway("wrong-secret-key", credentials={"project_id": server.project.project_id})
        refused = await create(api, wrong)
        assert (refused.status, refused.json["error_code"]) == (422, "CREDENTIALS_REJECTED"), refused.body
        assert "authentication is denied" in refused.json["detail"]
        elsewhere = await create(api, body | {"region": "nl-ams"})
        assert elsewhere.status in (422, 502), elsewhere.body
        assert (await create(api, body)).status == 201
        early = await check(api)
        assert (early["success"], "not checked" in early["error"]) == (False, True)
        registered = await register(api)
        assert registered.status == 201, registered.body
        records = registered.json["dns_records"]
        assert {(record["record_type"], record["required"]) for record in records} == {
            ("TXT", True),
            ("TXT", False),
            ("MX", False),
        }
        pending = (await verify(api)).json["domain"]
        assert pending["status"] == "pending"
        assert f"TXT {server.project.project_id}._domainkey.a.example" in pending["verification_error"]
        publish(names, records)
        unconfirmed = await verify(api)
        assert unconfirmed.json["domain"]["status"] == "pending", "Scaleway has not seen it yet"
        assert {record["status"] for record in unconfirmed.json["dns_records"]} == {"verified"}
        server.project.published.add("a.example")
        done = await verify(api)
        assert done.json["domain"]["status"] == "verified", done.body
        tested = await check(api)
        assert tested["success"], tested
        assert tested["provider_message_id"] in server.project.emails
        (letter,) = server.project.letters
        assert letter["subject"] == "[Temps] Email provider test — Scaleway"
        assert (await api("DELETE", "/api/email-domains/1?delete_from_provider=true")).status == 204
        assert [domain["status"] for domain in server.project.domains.values()] == ["revoked"]
        again = await register(api)
        assert (again.status, again.json["domain"]["id"]) == (201, 2)
        assert (await api("DELETE", "/api/email-domains/2?delete_from_provider=true")).status == 204

    with_scaleway(clean_nats, tmp_path, scenario)


def test_a_silent_scaleway_is_given_up_within_ten_seconds(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api, server: ScalewayServer, names: NameServer, body: dict[str, Any]) -> None:
        assert (await create(api, body)).status == 201
        server.script["GET /domains"] = ScalewayAct(then="hang")
        begun = asyncio.get_running_loop().time()
        answers = await asyncio.gather(create(api, body), register(api))
        assert asyncio.get_running_loop().time() - begun < 11
        assert {(answer.status, answer.json["error_code"]) for answer in answers} == {(502, "PROVIDER_UNREACHABLE")}
        assert await api.names() == ["provider.created"]

    with_scaleway(clean_nats, tmp_path, scenario)


def test_ministack_takes_credentials_domains_and_their_deletion(clean_nats: NatsAddress, tmp_path: Path) -> None:
    require(next(kind for kind in KINDS if kind.name == "ministack"))
    emulator = emulators.ministack()
    emulator.empty()

    async def main() -> None:
        async with (
            NameServer() as names,
            providers(clean_nats.url, tmp_path, allow_custom_endpoints=True, dns_resolver=names.address) as api,
        ):
            assert (await create(api, ses_at(emulator.url))).status == 201
            registered = await register(api)
            assert registered.status == 201, registered.body
            kinds = [record["record_type"] for record in registered.json["dns_records"]]
            assert kinds == ["TXT", "MX", "CNAME", "CNAME", "CNAME", "TXT"]
            assert registered.json["domain"]["status"] == "failed", "it knows no MAIL FROM, and says so"
            assert "MAIL FROM" in registered.json["domain"]["verification_error"]
            assert (await verify(api)).status == 200
            assert (await api("DELETE", "/api/email-domains/1?delete_from_provider=true")).status == 204

    run(main(), timeout=60)
