"""Scaleway, sending domains and credentials: registered, checked, revoked through its API, whatever it leaves out."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.common.facts.domain import DnsRecord
from libs.common.relay.port import Identity, IdentityRefused, RelayTroubled
from libs.common.relay.scaleway.relay import ScalewayRelay, open_scaleway_relay
from tests.integration.relay.kinds_scaleway import HASTY, settings
from tests.support import scaleway_shapes as shapes
from tests.support.certificates import self_signed
from tests.support.scaleway import ScalewayServer, refused, text
from tests.support.scaleway_shapes import Act

NAME = "new.example"


@asynccontextmanager
async def scaleway(**changes: Any) -> AsyncIterator[tuple[ScalewayServer, ScalewayRelay]]:
    async with asyncio.timeout(20), ScalewayServer() as api:
        relay = open_scaleway_relay(settings(api, **changes))
        try:
            yield api, relay
        finally:
            await relay.close()


def hasty(act: Act) -> dict[str, float]:
    """Short patience where silence is played and nowhere else, so that a busy machine changes no outcome."""
    return {"read_timeout": HASTY, "connect_timeout": HASTY} if act.then == "hang" else {}


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()


def asked(api: ScalewayServer) -> list[str]:
    """What was asked of it, ids left out."""
    return [f"{each.method} {each.path.partition('/regions/fr-par')[2]}" for each in api.requests]


def by_kind(identity: Identity) -> dict[str, DnsRecord]:
    kinds = {"v=spf1": "spf", "v=DKIM1": "dkim", "v=DMARC": "dmarc"}
    return {kinds.get(record.value.partition(";")[0].split(" ")[0][:7], "mx"): record for record in identity.records}


# --------------------------------------------------------------------------------------------------------- created


async def test_a_new_domain_comes_with_the_records_to_publish() -> None:
    async with scaleway() as (api, relay):
        identity = await relay.create_identity(NAME)
        (domain,) = api.project.domains.values()
        creation = next(each for each in api.requests if each.method == "POST")
    assert dict(creation.body) == {
        "project_id": api.project.project_id,
        "domain_name": NAME,
        "autoconfig": False,
        "accept_tos": True,
    }
    assert (identity.status, identity.error) == ("pending", None)
    plain = [
        (each.record_type, each.name, each.value, each.priority, each.status, each.required)
        for each in identity.records
    ]
    assert plain == [
        ("TXT", NAME, "v=spf1 include:_spf.tem.scaleway.com -all", None, "unknown", True),
        ("TXT", f"{api.project.project_id}._domainkey.{NAME}", domain["dkim_config"], None, "unknown", True),
        ("MX", NAME, "blackhole.tem.scaleway.com", 10, "unknown", False),
        ("TXT", f"_dmarc.{NAME}", "v=DMARC1; p=none", None, "unknown", False),
    ]


async def test_a_domain_that_is_there_is_taken_up_as_it_is() -> None:
    async with scaleway() as (api, relay):
        api.project.checked(NAME)
        identity = await relay.create_identity(NAME)
        assert identity.status == "verified"
        assert asked(api) == ["GET /domains"]
        assert dict(api.requests[0].query)["name"] == NAME
        assert dict(api.requests[0].query)["project_id"] == api.project.project_id


async def test_a_revoked_domain_is_registered_anew() -> None:
    async with scaleway() as (api, relay):
        await relay.create_identity(NAME)
        await relay.delete_identity(NAME)
        identity = await relay.create_identity(NAME)
        assert identity.status == "pending"
        assert len(identity.records) == 4
        assert [each["status"] for each in api.project.domains.values()] == ["revoked", "unchecked"]


async def test_only_a_domain_of_that_very_name_is_taken_up() -> None:
    async with scaleway() as (api, relay):
        others = [shapes.new_domain(f"sub.{NAME}", api.project.project_id, status="checked")]
        api.script["GET /domains"] = Act(200, encoded({"domains": others, "total_count": 1}))
        assert (await relay.create_identity(NAME)).status == "pending"
        assert len(api.project.domains) == 1


async def test_somebody_elses_registration_at_the_same_moment_is_taken_up() -> None:
    async with scaleway() as (api, relay):
        api.project.checked(NAME)
        nothing = Act(200, b'{"domains": [], "total_count": 0}')
        api.script["GET /domains"] = [nothing]
        assert (await relay.create_identity(NAME)).status == "verified"
        assert asked(api) == ["GET /domains", "POST /domains", "GET /domains"]


@pytest.mark.parametrize(
    "answer",
    [
        shapes.invalid(("domain_name", "format", "this is no domain")),
        shapes.over_quota("Domains", 1),
        shapes.precondition("the project has no offer"),
    ],
    ids=["invalid", "as many domains as the plan has", "no offer"],
)
async def test_a_domain_that_is_refused_is_refused_in_its_words(answer: shapes.Answer) -> None:
    async with scaleway() as (api, relay):
        api.script["POST /domains"] = refused(answer)
        with pytest.raises(IdentityRefused, match=str(answer[0])):
            await relay.create_identity(NAME)


# -------------------------------------------------------------------------------------------------------- verified


async def test_a_check_says_what_was_found_of_each_record() -> None:
    async with scaleway() as (api, relay):
        await relay.create_identity(NAME)
        (domain,) = api.project.domains.values()
        api.requests.clear()
        missing = await relay.verify_identity(NAME)
        path = f"/domains/{domain['id']}"
        assert asked(api) == ["GET /domains", f"POST {path}/check", f"GET {path}", f"GET {path}/verification"]
        api.project.published.add(NAME)
        verified = await relay.verify_identity(NAME)
    assert missing.status == "pending"
    assert {record.status for record in missing.records} == {"pending"}
    assert missing.error == "SPF: no SPF record found; DKIM: no DKIM record found"
    assert (verified.status, verified.error) == ("verified", None)
    assert {record.status for record in verified.records} == {"verified"}


async def test_what_is_missing_is_named_record_by_record() -> None:
    async with scaleway() as (api, relay):
        await relay.create_identity(NAME)
        api.project.published.add(NAME)
        api.project.missing = ("dkim", "mx")
        identity = await relay.verify_identity(NAME)
    assert {kind: record.status for kind, record in by_kind(identity).items()} == {
        "spf": "verified",
        "dkim": "pending",
        "mx": "pending",
        "dmarc": "verified",
    }
    assert identity.error == "DKIM: no DKIM record found"


STATUSES = {
    "checked": ("verified", None),
    "unchecked": ("pending", None),
    "pending": ("pending", None),
    "autoconfiguring": ("pending", None),
    "invalid": ("failed", "Scaleway found the domain's records invalid"),
    "locked": ("failed", "Scaleway has locked this domain, its support knows why"),
    "unknown": ("pending", None),
    "something new": ("pending", None),
}


@pytest.mark.parametrize("status", STATUSES)
async def test_every_status_of_theirs_is_one_of_ours(status: str) -> None:
    async with scaleway() as (api, relay):
        domain = {**api.project.checked(NAME), "status": status}
        api.script["GET /domains/id"] = Act(200, encoded(domain))
        identity = await relay.verify_identity(NAME)
    assert (identity.status, identity.error) == STATUSES[status]


async def test_a_domain_that_is_invalid_is_failed_with_every_reason() -> None:
    async with scaleway() as (api, relay):
        await relay.create_identity(NAME)
        (domain,) = api.project.domains.values()
        domain["last_error"] = "two SPF records\r\n\x1b[31m"
        api.project.unpublished_status = "invalid"
        identity = await relay.verify_identity(NAME)
    assert identity.status == "failed"
    assert identity.error is not None
    assert identity.error.startswith("Scaleway found the domain's records invalid; two SPF records")
    assert identity.error.isprintable()


@pytest.mark.parametrize("revoked", [False, True], ids=["never there", "revoked"])
async def test_a_domain_that_is_not_there_cannot_be_verified(revoked: bool) -> None:  # noqa: FBT001 - a case
    async with scaleway() as (api, relay):
        if revoked:
            await relay.create_identity(NAME)
            await relay.delete_identity(NAME)
        with pytest.raises(IdentityRefused, match=f"{NAME} is not registered"):
            await relay.verify_identity(NAME)
        assert "check" not in " ".join(asked(api))


async def test_without_its_records_a_verification_still_says_the_status() -> None:
    async with scaleway() as (api, relay):
        api.project.checked(NAME)
        api.script["GET /domains/verification"] = refused(shapes.not_found("domain", "d"))
        identity = await relay.verify_identity(NAME)
    assert identity.status == "verified"
    assert {record.status for record in identity.records} == {"unknown"}


NOT_NOW = {
    "another check is under way": refused(shapes.transient("domain", "d", "checking")),
    "locked": refused(shapes.locked("domain", "d")),
    "as many checks as the plan has": refused(shapes.over_quota("Checks", 1)),
    "a condition": refused(shapes.precondition("a check is running")),
    "409 without a type": text(409, "Conflict"),
    "400 without a type": text(400, "Bad Request"),
}


@pytest.mark.parametrize("act", NOT_NOW.values(), ids=NOT_NOW)
@pytest.mark.parametrize(("says", "expected"), [("checked", "verified"), ("revoked", "failed")])
async def test_a_check_that_is_not_begun_now_says_nothing_of_the_domain(act: Act, says: str, expected: str) -> None:
    async with scaleway() as (api, relay):
        domain = api.project.checked(NAME)
        api.script["POST /domains/check"] = act
        api.script["GET /domains/id"] = Act(200, encoded({**domain, "status": says}))
        assert (await relay.verify_identity(NAME)).status == expected


@pytest.mark.parametrize("act", NOT_NOW.values(), ids=NOT_NOW)
@pytest.mark.parametrize("whole", [False, True], ids=["the list", "the domain"])
async def test_what_cannot_be_looked_at_now_is_trouble_and_no_refusal(act: Act, whole: bool) -> None:  # noqa: FBT001
    async with scaleway() as (api, relay):
        api.project.checked(NAME)
        api.script |= {"POST /domains/check": act, "GET /domains/id": act} if whole else {"GET /domains": act}
        with pytest.raises(RelayTroubled) as trouble:
            await relay.verify_identity(NAME)
    assert trouble.value.trouble.kind == "connection"


async def test_a_domain_that_goes_while_it_is_checked_is_refused() -> None:
    async with scaleway() as (api, relay):
        api.project.checked(NAME)
        gone = refused(shapes.not_found("domain", "d"))
        api.script |= {"POST /domains/check": gone, "GET /domains/id": gone}
        with pytest.raises(IdentityRefused, match="404 not_found"):
            await relay.verify_identity(NAME)


# --------------------------------------------------------------------------------------------------------- deleted


async def test_deleting_revokes_every_domain_of_that_name_and_no_other() -> None:
    async with scaleway() as (api, relay):
        for name in (NAME, NAME, "other.example"):
            api.project.checked(name)
        await relay.delete_identity(NAME)
        assert [each["status"] for each in api.project.domains.values()] == ["revoked", "revoked", "checked"]
        await relay.delete_identity(NAME)
        assert asked(api)[-1] == "GET /domains"


async def test_a_domain_that_went_meanwhile_is_deleted() -> None:
    async with scaleway() as (api, relay):
        api.project.checked(NAME)
        api.script["POST /domains/revoke"] = refused(shapes.not_found("domain", "d"))
        await relay.delete_identity(NAME)


async def test_a_domain_in_use_is_not_deleted_and_says_so() -> None:
    async with scaleway() as (api, relay):
        api.project.checked(NAME)
        api.script["POST /domains/revoke"] = refused(shapes.precondition("has webhooks", "resource_still_in_use"))
        with pytest.raises(IdentityRefused, match="resource_still_in_use; has webhooks"):
            await relay.delete_identity(NAME)


# --------------------------------------------------------------------------------------------------------- trouble


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (refused(shapes.denied()), "configuration"),
        (refused(shapes.forbidden("read", "domain")), "configuration"),
        (text(404, "404 page not found"), "configuration"),
        (text(429, "<html>", "text/html"), "throttled"),
        (text(502, "Bad Gateway"), "connection"),
        (text(500, "oh"), "connection"),
        (text(200, "<html>Sign in to the hotel's network</html>", "text/html"), "connection"),
        (Act(then="close"), "connection"),
        (Act(then="hang"), "connection"),
    ],
    ids=["unknown key", "no permission", "region", "throttled", "502", "500", "html", "broken off", "silence"],
)
async def test_when_the_api_cannot_be_asked_the_provider_is_in_trouble(act: Act, kind: str) -> None:
    # More than once: reading is repeated where a kept connection may have been stale.
    async with scaleway(**hasty(act)) as (api, relay):
        api.script["GET /domains"] = act
        for asking in (relay.create_identity, relay.verify_identity, relay.delete_identity):
            with pytest.raises(RelayTroubled) as troubled:
                await asking(NAME)
            assert troubled.value.trouble.kind == kind
        assert api.project.domains == {}


async def test_an_id_that_would_lead_elsewhere_is_never_called() -> None:
    async with scaleway() as (api, relay):
        domain = api.project.checked(NAME)
        domain["id"] = "../../../../iam/v1alpha1/api-keys?x="
        for asking in (relay.verify_identity, relay.delete_identity):
            with pytest.raises(RelayTroubled, match="without an id"):
                await asking(NAME)
        assert set(asked(api)) == {"GET /domains"}


async def test_all_of_it_ends_in_the_time_of_one_exchange() -> None:
    async with scaleway(connect_timeout=0.3, read_timeout=0.5) as (api, relay):
        api.project.checked(NAME)
        slow = Act(usual=True, delay=0.4)
        api.script.update({"GET /domains": slow, "POST /domains/check": slow, "GET /domains/id": slow})
        with pytest.raises(RelayTroubled, match=r"no answer within 0\.8 seconds"):
            await relay.verify_identity(NAME)


# ----------------------------------------------------------------------------------------------------- credentials


async def test_credentials_are_checked_with_one_small_question() -> None:
    async with scaleway() as (api, relay):
        assert await relay.check_credentials() is None
        assert asked(api) == ["GET /domains"]
        assert dict(api.requests[0].query) == {"project_id": api.project.project_id, "page_size": "1"}


CHECKS = {
    "unknown key": (refused(shapes.denied()), "configuration"),
    "another's project": (refused(shapes.forbidden("read", "domain")), "configuration"),
    "malformed project": (refused(shapes.invalid(("project_id", "format", "not a UUID"))), "configuration"),
    "something wrong": (refused(shapes.invalid(("page", "format", "what?"))), "configuration"),
    "another server": (text(200, "<html>It works!</html>", "text/html"), "configuration"),
    "throttled": (text(429, "<html>", "text/html"), "throttled"),
    "502": (text(502, "Bad Gateway"), "connection"),
    "silence": (Act(then="hang"), "connection"),
}


@pytest.mark.parametrize(("act", "kind"), CHECKS.values(), ids=CHECKS)
async def test_what_stands_in_the_way_of_the_credentials_is_said(act: Act, kind: str) -> None:
    async with scaleway(**hasty(act)) as (api, relay):
        api.script["GET /domains"] = act
        trouble = await relay.check_credentials()
    assert trouble is not None
    assert trouble.kind == kind
    assert trouble.text


@pytest.mark.parametrize("region", ["nl-ams", "pl-waw"])
async def test_a_region_without_transactional_email_is_configuration_trouble(region: str) -> None:
    async with scaleway(region=region) as (_, relay):
        trouble = await relay.check_credentials()
    assert trouble is not None
    assert trouble.kind == "configuration"


async def test_a_certificate_that_is_not_to_be_trusted_is_configuration_trouble(tmp_path: Path) -> None:
    async def never(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(never, "127.0.0.1", 0, ssl=self_signed(tmp_path, "127.0.0.1"))
    async with server, scaleway(api_url=f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as (_, relay):
        trouble = await relay.check_credentials()
    assert trouble is not None
    assert trouble.kind == "configuration"
    assert trouble.suggestion


async def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with scaleway() as (_, relay):
        assert await relay.check_credentials() is None
