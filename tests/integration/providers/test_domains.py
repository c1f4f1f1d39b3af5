"""Sending domains over HTTP, on a real log."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from tests.integration.providers.service import Api, fields, providers
from tests.support.aio import run


def with_service(nats: NatsAddress, directory: Path, scenario: Any) -> None:
    async def main() -> None:
        async with providers(nats.url, directory) as api:
            await api.made()
            await scenario(api)

    run(main())


async def register(api: Api, domain: str, provider_id: int = 1) -> Any:
    return await api("POST", "/api/email-domains", {"provider_id": provider_id, "domain": domain})


def test_an_smtp_domain_is_verified_at_once_and_has_no_records(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        answer = await register(api, "Bücher.Example")
        assert answer.status == 201
        created = answer.json
        assert created["dns_records"] == []
        domain = created["domain"]
        assert (domain["id"], domain["provider_id"], domain["domain"]) == (1, 1, "xn--bcher-kva.example")
        assert (domain["status"], domain["verification_error"]) == ("verified", None)
        assert domain["last_verified_at"] is not None
        (fact,) = await api.facts("mail.domain.*")
        assert answer.headers["temps-position"] == f"domain={fact.sequence}"
        assert (await api("GET", "/api/email-domains/1")).json == created
        for name in ("xn--bcher-kva.example", "XN--BCHER-KVA.example"):
            assert (await api("GET", f"/api/email-domains/by-domain/{name}")).json == created
        assert (await api("GET", "/api/email-domains/1/dns-records")).json == []
        assert (await api("GET", "/api/email-domains")).json == [domain]
        assert (await api("GET", "/api/email-domains?provider_id=1")).json == [domain]
        assert (await api("GET", "/api/email-domains?provider_id=2")).json == []

    with_service(clean_nats, tmp_path, scenario)


def test_verifying_again_moves_the_time_and_deleting_frees_the_name(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        first = (await register(api, "a.example")).json["domain"]
        again = await api("POST", "/api/email-domains/1/verify")
        assert (again.status, again.json["domain"]["status"]) == (200, "verified")
        assert again.json["domain"]["last_verified_at"] > first["last_verified_at"]
        deleted = await api("DELETE", "/api/email-domains/1?delete_from_provider=true")
        assert deleted.status == 204
        assert await api.names("mail.domain.*") == ["domain.created", "domain.verified", "domain.deleted"]
        assert deleted.headers["temps-position"].startswith("domain=")
        assert (await register(api, "a.example")).json["domain"]["id"] == 2, "the id is never used again"

    with_service(clean_nats, tmp_path, scenario)


def test_what_is_not_there_is_404(clean_nats: NatsAddress, tmp_path: Path, subtests: pytest.Subtests) -> None:
    async def scenario(api: Api) -> None:
        for method, path in (
            ("GET", "/api/email-domains/1"),
            ("GET", "/api/email-domains/1/dns-records"),
            ("GET", "/api/email-domains/by-domain/a.example"),
            ("GET", "/api/email-domains/by-domain/not-a-domain"),
            ("POST", "/api/email-domains/1/verify"),
            ("DELETE", "/api/email-domains/1"),
        ):
            with subtests.test(f"{method} {path}"):
                assert (await api(method, path)).status == 404
        assert (await register(api, "a.example", provider_id=9)).status == 404
        assert await api.names("mail.domain.*") == []

    with_service(clean_nats, tmp_path, scenario)


def test_bad_requests_name_their_field(clean_nats: NatsAddress, tmp_path: Path, subtests: pytest.Subtests) -> None:
    async def scenario(api: Api) -> None:
        for body, named in (
            ({"provider_id": 1, "domain": "not a domain"}, ["domain"]),
            ({"provider_id": 1, "domain": "localhost"}, ["domain"]),
            ({"provider_id": 1, "domain": "a\r\nb.example"}, ["domain"]),
            ({"provider_id": "1", "domain": "a.example"}, ["provider_id"]),
            ({"domain": "a.example"}, ["provider_id"]),
            ({"provider_id": 1, "domain": "a.example", "x": 1}, ["x"]),
        ):
            with subtests.test(str(body)):
                answer = await api("POST", "/api/email-domains", body)
                assert (answer.status, fields(answer)) == (400, named)
        for path in ("/api/email-domains/zero", "/api/email-domains/0", "/api/email-domains?page=1"):
            with subtests.test(path):
                assert (await api("GET", path)).status == 400

    with_service(clean_nats, tmp_path, scenario)


def test_twenty_at_once_get_twenty_ids_and_a_name_has_one_winner(clean_nats: NatsAddress, tmp_path: Path) -> None:
    """Two processes' worth of services, so that the log decides and not a lock."""

    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(providers(clean_nats.url, tmp_path))
            other = await stack.enter_async_context(providers(clean_nats.url, tmp_path))
            apis = [one, other] * 10
            made = await asyncio.gather(*(api.made(name=f"p{n}", is_default=True) for n, api in enumerate(apis)))
            assert sorted(provider["id"] for provider in made) == list(range(1, 21))
            named = await asyncio.gather(*(register(api, "one.example", 1 + n) for n, api in enumerate(apis)))
            assert sorted(answer.status for answer in named) == [201] + [409] * 19
            assert {a.json["error_code"] for a in named if a.status == 409} == {"DUPLICATE_DOMAIN"}
            many = await asyncio.gather(*(register(api, f"d{n}.example") for n, api in enumerate(apis)))
            assert sorted(answer.json["domain"]["id"] for answer in many) == list(range(2, 22))
            defaults: set[int] = set()
            for fact in await one.facts("mail.provider.*"):
                provider = fact.data["provider"]
                defaults = defaults | {provider["id"]} if provider["is_default"] else defaults - {provider["id"]}
                assert len(defaults) <= 1
            assert len(defaults) == 1

    run(main(), timeout=60)


def test_a_domain_never_outlives_its_provider(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(providers(clean_nats.url, tmp_path))
            other = await stack.enter_async_context(providers(clean_nats.url, tmp_path))
            for n in range(1, 11):
                await one.made()
                answers = await asyncio.gather(
                    register(one, f"a{n}.example", n),
                    other("DELETE", f"/api/email-providers/{n}?force=true"),
                    register(one, f"b{n}.example", n),
                )
                assert answers[1].status == 204
                assert {answers[0].status, answers[2].status} <= {201, 404}
            assert (await one("GET", "/api/email-providers")).json == []
            last = {fact.subject: fact.name for fact in await one.facts("mail.domain.*")}
            assert set(last.values()) <= {"domain.deleted"}

    run(main(), timeout=60)
