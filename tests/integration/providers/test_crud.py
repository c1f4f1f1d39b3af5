"""Providers over HTTP, on a real log: created, shown, changed, deleted."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from deploy.local.servers import NatsAddress
from libs.common.vault.keyring import read_key_ring
from tests.integration.providers.service import ADMIN, Api, fields, providers, scaleway, ses, smtp
from tests.support.aio import run

LOGIN = {"username": "postmaster@example.com", "password": "s3cret-pässword"}
SES = {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG"}


def with_service(nats: NatsAddress, directory: Path, scenario: Any, **settings: Any) -> None:
    async def main() -> None:
        async with providers(nats.url, directory, **settings) as api:
            await scenario(api)

    run(main())


def test_a_provider_is_created_shown_and_listed_newest_first(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        created = await api("POST", "/api/email-providers", smtp(name="One", credentials=LOGIN))
        assert created.status == 201
        one = created.json
        (fact,) = await api.facts("mail.provider.*")
        assert created.headers["temps-position"] == f"provider={fact.sequence}"
        assert fact.correlationid == created.headers["x-request-id"]
        assert fact.actor is not None
        assert (fact.actor["id"], fact.actor["ip"]) == ("key:1", "203.0.113.7")
        expected = {
            "id": 1,
            "name": "One",
            "provider_type": "smtp",
            "region": "custom",
            "is_active": True,
            "is_default": False,
            "is_local_inbox": False,
            "max_connections": 10,
            "rate_limit_per_second": None,
            "fallback_provider_ids": [],
            "unknown_policy": "retry",
            "helo_name": None,
            "last_test": None,
            "stopped": None,
            "credentials": {
                "host": "smtp.example.com",
                "port": 587,
                "encryption": "starttls",
                "accept_invalid_certs": False,
                "username": "post....com",
                "password": "***",
            },
        }
        assert {name: one[name] for name in expected} == expected
        assert one["created_at"].endswith("Z")
        two = await api.made(name="Two")
        assert two["id"] == 2
        assert two["credentials"]["username"] == ""
        assert two["credentials"]["password"] is None
        listed = await api("GET", "/api/email-providers")
        assert [provider["id"] for provider in listed.json] == [2, 1]
        assert (await api("GET", "/api/email-providers/1")).json == one

    with_service(clean_nats, tmp_path, scenario)


def test_credentials_are_encrypted_for_their_provider_and_written_before_the_fact(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api) -> None:
        await api.made(credentials=LOGIN)
        (fact,) = await api.facts("mail.provider.*")
        (secret,) = await api.secrets()
        version = fact.data["provider"]["credential_version"]
        assert secret.subject == f"secret.provider.1.{version}"
        ring = read_key_ring(tmp_path / "keyring.json")
        assert orjson.loads(ring.decrypt(secret.data, bound_to="provider/1")) == LOGIN
        with pytest.raises(ValueError, match="does not decrypt"):
            ring.decrypt(secret.data, bound_to="provider/2")
        everything = fact.encode()
        assert LOGIN["password"].encode() not in everything
        assert b"postmaster" not in everything
        assert b"s3cret" not in secret.data

    with_service(clean_nats, tmp_path, scenario)


def test_a_rename_leaves_the_stored_secret_and_new_credentials_replace_it(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(api: Api) -> None:
        await api.made(credentials=LOGIN)
        (first,) = await api.secrets()
        renamed = await api(
            "PATCH", "/api/email-providers/1", {"name": "Renamed", "smtp_credentials": {"host": "other.example"}}
        )
        assert (renamed.json["name"], renamed.json["credentials"]["password"]) == ("Renamed", "***")
        assert [secret.data for secret in await api.secrets()] == [first.data]
        await api("PATCH", "/api/email-providers/1", {"smtp_credentials": {"password": "another"}})
        assert len(await api.secrets()) == 2
        facts = await api.facts("mail.provider.1")
        versions = [fact.data["provider"]["credential_version"] for fact in facts]
        assert versions[0] == versions[1] != versions[2]
        assert [fact.data.get("changed_fields") for fact in facts] == [
            None,
            ["name", "smtp_credentials.host"],
            ["smtp_credentials.password"],
        ]
        ring = read_key_ring(tmp_path / "keyring.json")
        latest = (await api.secrets())[-1]
        assert orjson.loads(ring.decrypt(latest.data, bound_to="provider/1")) == {**LOGIN, "password": "another"}

    with_service(clean_nats, tmp_path, scenario)


def test_sending_back_what_was_shown_changes_nothing_and_says_nothing(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        shown = await api.made(credentials=LOGIN)
        change = {
            "name": shown["name"],
            "is_active": True,
            "region": "custom",
            "smtp_credentials": shown["credentials"],
        }
        answer = await api("PATCH", "/api/email-providers/1", change)
        assert (answer.status, answer.json) == (200, shown)
        assert "temps-position" not in answer.headers
        assert await api.names() == ["provider.created"]
        assert (await api("PATCH", "/api/email-providers/1", {})).status == 200
        assert len(await api.secrets()) == 1

    with_service(clean_nats, tmp_path, scenario)


def test_username_null_clears_the_login_and_leaves_no_version_named(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        await api.made(credentials=LOGIN)
        answer = await api("PATCH", "/api/email-providers/1", {"smtp_credentials": {"username": None}})
        assert (answer.json["credentials"]["username"], answer.json["credentials"]["password"]) == ("", None)
        assert (await api.facts("mail.provider.1"))[-1].data["provider"]["credential_version"] is None

    with_service(clean_nats, tmp_path, scenario)


def test_an_ehlo_name_and_a_policy_are_kept_and_changed(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        body = smtp(helo_name="Mail.Example.com", unknown_policy="hold")
        made = (await api("POST", "/api/email-providers", body)).json
        assert (made["helo_name"], made["unknown_policy"]) == ("mail.example.com", "hold")
        changed = await api("PATCH", "/api/email-providers/1", {"helo_name": None, "unknown_policy": "retry"})
        assert (changed.json["helo_name"], changed.json["unknown_policy"]) == (None, "retry")
        assert (await api.facts("mail.provider.*"))[-1].data["changed_fields"] == ["unknown_policy", "helo_name"]
        await api("POST", "/api/email-providers?verify=false", ses())
        refused = await api("PATCH", "/api/email-providers/2", {"helo_name": "mail.example.com"})
        assert (refused.status, fields(refused)) == (400, ["helo_name"])

    with_service(clean_nats, tmp_path, scenario)


CHANGES_REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"provider_type": "smtp"}, ["provider_type"]),
    ({"ses_credentials": SES}, ["ses_credentials"]),
    ({"smtp_credentials": {}, "ses_credentials": {}}, ["ses_credentials"]),
    ({"smtp_credentials": {"username": "somebody"}}, ["smtp_credentials.password"]),
    ({"smtp_credentials": {"port": 0}}, ["smtp_credentials.port"]),
    ({"smtp_credentials": {"port": "587"}}, ["smtp_credentials.port"]),
    ({"smtp_credentials": {"host": "a b"}}, ["smtp_credentials.host"]),
    ({"smtp_credentials": {"host": "smtp.example.com:587"}}, ["smtp_credentials.host"]),
    ({"helo_name": "mail_1.example.com"}, ["helo_name"]),
    ({"unknown_policy": None}, ["unknown_policy"]),
    ({"smtp_credentials": {"endpoint_url": "x"}}, ["smtp_credentials.endpoint_url"]),
    ({"name": None}, ["name"]),
    ({"name": "  "}, ["name"]),
    ({"fallback_provider_ids": [1]}, ["fallback_provider_ids"]),
    ({"fallback_provider_ids": [9]}, ["fallback_provider_ids"]),
    ({"is_local_inbox": True}, ["is_local_inbox"]),
    ({"is_default": True, "is_active": False}, ["is_default"]),
]


def test_a_change_that_cannot_be_is_refused_by_its_field(
    clean_nats: NatsAddress, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async def scenario(api: Api) -> None:
        await api.made()
        for change, named in CHANGES_REFUSED:
            with subtests.test(str(change)):
                answer = await api("PATCH", "/api/email-providers/1", change)
                assert (answer.status, fields(answer)) == (400, named)
        assert await api.names() == ["provider.created"]
        assert await api.secrets() == []

    with_service(clean_nats, tmp_path, scenario)


REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"name": "x", "provider_type": "smtp"}, ["smtp_credentials"]),
    (smtp(ses_credentials=SES), ["ses_credentials"]),
    (smtp(provider_type="ses", region="eu-west-1"), ["smtp_credentials", "ses_credentials"]),
    ({"name": "x", "provider_type": "ses", "ses_credentials": SES}, ["region"]),
    (ses(region="custom"), ["region"]),
    (ses(region="fr-par"), ["region"]),
    (scaleway(region="eu-west-1"), ["region"]),
    (ses(credentials={"endpoint_url": "http://localhost:4566"}), ["ses_credentials.endpoint_url"]),
    (ses(credentials={"access_key_id": ""}), ["ses_credentials.access_key_id"]),
    (ses(credentials={"secret_access_key": "a key"}), ["ses_credentials.secret_access_key"]),
    (ses(credentials={"secret_access_key": None}), ["ses_credentials.secret_access_key"]),
    (ses(credentials={"session_token": "x"}), ["ses_credentials.session_token"]),
    (scaleway(credentials={"api_key": ""}), ["scaleway_credentials.api_key"]),
    (scaleway(credentials={"api_key": "kéy"}), ["scaleway_credentials.api_key"]),
    (scaleway(credentials={"project_id": "project"}), ["scaleway_credentials.project_id"]),
    (scaleway(credentials={"project_id": ""}), ["scaleway_credentials.project_id"]),
    (ses(is_default=True, is_active=False), ["is_default"]),
    (smtp(provider_type="mailgun"), ["provider_type"]),
    (smtp(name=""), ["name"]),
    (smtp(name="x" * 256), ["name"]),
    (smtp(name="a\r\nb"), ["name"]),
    (smtp(credentials={"host": "  "}), ["smtp_credentials.host"]),
    (smtp(credentials={"host": "smtp.example.com:587"}), ["smtp_credentials.host"]),
    (smtp(credentials={"host": "a..b"}), ["smtp_credentials.host"]),
    (smtp(credentials={"host": "[::1"}), ["smtp_credentials.host"]),
    (smtp(helo_name="a b"), ["helo_name"]),
    (ses(helo_name="mail.example.com"), ["helo_name"]),
    (smtp(unknown_policy="maybe"), ["unknown_policy"]),
    (smtp(credentials={"port": 65536}), ["smtp_credentials.port"]),
    (smtp(credentials={"username": "u"}), ["smtp_credentials.password"]),
    (smtp(credentials={"username": "u\n", "password": "p"}), ["smtp_credentials.username"]),
    (smtp(credentials={"encryption": "ssl"}), ["smtp_credentials.encryption"]),
    (smtp(max_connections=0), ["max_connections"]),
    (smtp(rate_limit_per_second=0), ["rate_limit_per_second"]),
    (smtp(fallback_provider_ids=[1]), ["fallback_provider_ids"]),
    (smtp(is_local_inbox=True), ["is_local_inbox"]),
    (smtp(is_default=True, is_active=False), ["is_default"]),
    (smtp(colour="blue"), ["colour"]),
]


def test_a_provider_that_cannot_be_is_refused_by_its_field(
    clean_nats: NatsAddress, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async def scenario(api: Api) -> None:
        for body, named in REFUSED:
            with subtests.test(str(body)):
                answer = await api("POST", "/api/email-providers", body)
                assert (answer.status, fields(answer)) == (400, named)
        assert await api.names() == []
        assert await api.secrets() == []

    with_service(clean_nats, tmp_path, scenario)


def test_an_id_is_digits_and_nothing_that_looks_like_a_number(
    clean_nats: NatsAddress, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async def scenario(api: Api) -> None:
        await api.made()
        for id in ("1.0", "1_", "0_1", "+1", "%201", "1%20", "1e0", "0", "-1"):
            for method, target, name in (
                ("DELETE", f"/api/email-providers/{id}", "id"),
                ("DELETE", f"/api/email-domains/{id}", "id"),
                ("GET", f"/api/email-domains?provider_id={id.replace('+', '%2B')}", "provider_id"),
            ):
                with subtests.test(f"{method} {target}"):
                    answer = await api(method, target)
                    assert (answer.status, fields(answer)) == (400, [name])
        assert (await api("GET", "/api/email-providers/1")).status == 200

    with_service(clean_nats, tmp_path, scenario)


def test_the_default_moves_and_there_are_never_two(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        await api.made(is_default=True)
        await api.made(is_default=True)
        await api.made()
        assert (await api("PATCH", "/api/email-providers/3", {"is_default": True})).json["is_default"]
        await api("PATCH", "/api/email-providers/1", {"is_default": True})
        defaults: set[int] = set()
        for fact in await api.facts("mail.provider.*"):
            provider = fact.data["provider"]
            defaults = defaults | {provider["id"]} if provider["is_default"] else defaults - {provider["id"]}
            assert len(defaults) <= 1, "whoever reads along sees at most one"
        assert defaults == {1}
        assert not (await api("PATCH", "/api/email-providers/1", {"is_active": False})).json["is_default"]
        listed = await api("GET", "/api/email-providers")
        assert [provider["is_default"] for provider in listed.json] == [False, False, False]

    with_service(clean_nats, tmp_path, scenario)


def test_the_first_real_provider_takes_over_from_the_bundled_inbox(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        inbox = await api.made(name="Local inbox", is_default=True, credentials={"host": "localhost", "port": 1025})
        assert (inbox["is_local_inbox"], inbox["is_default"]) == (True, True)
        real = await api.made(name="Real")
        assert (real["is_local_inbox"], real["is_default"]) == (False, True)
        assert not (await api("GET", "/api/email-providers/1")).json["is_default"]
        assert not (await api.made(name="Second"))["is_default"]
        moved = await api("PATCH", "/api/email-providers/2", {"smtp_credentials": {"host": "::1", "port": 1025}})
        assert moved.json["is_local_inbox"]

    with_service(clean_nats, tmp_path, scenario, local_inbox_smtp="127.0.0.1:1025")


def test_a_provider_with_domains_is_deleted_only_by_force(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(api: Api) -> None:
        await api.made(credentials=LOGIN)
        await api.made(fallback_provider_ids=[1])
        for name in ("a.example", "b.example"):
            assert (await api("POST", "/api/email-domains", {"provider_id": 1, "domain": name})).status == 201
        refused = await api("DELETE", "/api/email-providers/1")
        assert (refused.status, refused.json["error_code"]) == (409, "PROVIDER_IN_USE")
        deleted = await api("DELETE", "/api/email-providers/1?force=true")
        assert (deleted.status, deleted.body) == (204, b"")
        facts = await api.facts()
        assert [fact.name for fact in facts[-4:]] == [
            "domain.deleted",
            "domain.deleted",
            "provider.updated",
            "provider.deleted",
        ]
        assert deleted.headers["temps-position"] == f"domain={facts[-3].sequence},provider={facts[-1].sequence}"
        assert facts[-1].data["forced"]
        assert facts[-1].data["provider"]["credential_version"] is None
        assert (await api("GET", "/api/email-providers/2")).json["fallback_provider_ids"] == []
        assert (await api("GET", "/api/email-providers/1")).status == 404
        assert (await api("DELETE", "/api/email-providers/1")).status == 404
        assert (await api("GET", "/api/email-domains")).json == []
        assert (await api.made())["id"] == 3, "ids are never used again"

    with_service(clean_nats, tmp_path, scenario)


SCOPES = [
    ("GET", "/api/email-providers", "email_providers:read"),
    ("GET", "/api/email-providers/1", "email_providers:read"),
    ("POST", "/api/email-providers", "email_providers:create"),
    ("PATCH", "/api/email-providers/1", "email_providers:write"),
    ("POST", "/api/email-providers/1/test", "email_providers:write"),
    ("DELETE", "/api/email-providers/1", "email_providers:delete"),
    ("GET", "/api/email-domains", "email_domains:read"),
    ("GET", "/api/email-domains/1", "email_domains:read"),
    ("GET", "/api/email-domains/by-domain/a.example", "email_domains:read"),
    ("GET", "/api/email-domains/1/dns-records", "email_domains:read"),
    ("POST", "/api/email-domains", "email_domains:create"),
    ("POST", "/api/email-domains/1/verify", "email_domains:write"),
    ("DELETE", "/api/email-domains/1", "email_domains:delete"),
]


def test_every_route_wants_its_scope(clean_nats: NatsAddress, tmp_path: Path, subtests: pytest.Subtests) -> None:
    bodies = {
        "/api/email-providers": smtp(credentials={"host": "127.0.0.1", "port": 1}),
        "/api/email-domains": {"provider_id": 1, "domain": "b.example"},
        "/api/email-providers/1/test": {"from": "a@b.example"},
    }

    async def scenario(api: Api) -> None:
        await api("POST", "/api/email-providers", bodies["/api/email-providers"])
        for method, path, scope in SCOPES:
            with subtests.test(f"{method} {path}"):
                body = None if method in ("GET", "DELETE") else bodies.get(path, {})
                refused = await api(method, path, body, scopes=ADMIN - {scope})
                assert (refused.status, refused.json["required_permission"]) == (403, scope)
                allowed = await api(method, path, body, scopes=frozenset({scope}))
                assert allowed.status != 403

    with_service(clean_nats, tmp_path, scenario)
