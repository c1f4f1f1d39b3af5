"""The server that plays Scaleway in our tests, held to Scaleway's own client: answers are read, errors raised."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.integration.relay.kinds import SENDER, SENDER_DOMAIN
from tests.support import scaleway_shapes as shapes
from tests.support.scaleway import ScalewayServer, refused, text

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv-emulators" / "bin" / "python"
OFFICIAL = ROOT / "tests" / "support" / "scaleway_official.py"
PATIENCE = 60.0

EMAIL = {
    "from_": {"email": SENDER, "name": "The Shop"},
    "to": [{"email": "bob@b.example", "name": "Bob"}],
    "subject": "Your order is on its way",
    "text": "It left our house today.",
    "html": "<p>It left our house today.</p>",
    "additional_headers": [{"key": "Reply-To", "value": "help@shop.example"}],
}


@pytest.fixture(autouse=True)
def _the_official_client() -> None:
    reason = f"{PYTHON.relative_to(ROOT)} is missing: make emulators"
    if PYTHON.exists():
        return
    if os.environ.get("CI") or os.environ.get("TEMPS_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)


async def called(api: ScalewayServer, *calls: tuple[str, dict[str, Any]], secret: str | None = None) -> list[Any]:
    """What the official client made of each call, in order."""
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": "/nonexistent",  # a configuration file of the developer's is none of our business
        "SCW_API_URL": api.url,
        "SCW_ACCESS_KEY": "SCWABCDEFGHIJKLMNOPQ",
        "SCW_SECRET_KEY": secret or api.project.secret_key,
        "SCW_DEFAULT_PROJECT_ID": api.project.project_id,
        "SCW_DEFAULT_ORGANIZATION_ID": shapes.ORGANIZATION,
        "SCW_DEFAULT_REGION": "fr-par",
    }
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        str(PYTHON), str(OFFICIAL), stdin=pipe, stdout=pipe, stderr=pipe, env=environment
    )
    try:
        async with asyncio.timeout(PATIENCE):
            out, err = await process.communicate(json.dumps(calls).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, err.decode()
    results: list[Any] = json.loads(out)
    return results


async def test_an_email_is_one_object_per_recipient_and_is_found_again() -> None:
    letter = {**EMAIL, "cc": [{"email": "carol@c.example"}], "bcc": [{"email": "erin@e.example"}]}
    async with ScalewayServer() as api:
        api.project.checked(SENDER_DOMAIN)
        (sent,) = await called(api, ("create_email", letter))
        emails = sent["answer"]["emails"]
        shapes.delivered(api.project.emails[emails[0]["id"]])
        got, listed, cancelled = await called(
            api,
            ("get_email", {"email_id": emails[0]["id"]}),
            ("list_emails_all", {"mail_rcpt": "erin@e.example"}),
            ("cancel_email", {"email_id": emails[1]["id"]}),
        )
    assert [(each["rcpt_type"], each["mail_rcpt"]) for each in emails] == [
        ("to", "bob@b.example"),
        ("cc", "carol@c.example"),
        ("bcc", "erin@e.example"),
    ]
    assert {each["status"] for each in emails} == {"new"}
    assert len({UUID(each["id"]) for each in emails}) == 3
    assert emails[0]["created_at"]
    assert api.requests[0].headers["X-Auth-Token"] == api.project.secret_key
    assert got["answer"]["status"] == "sent"
    assert got["answer"]["last_tries"][0]["code"] == 250
    assert [each["id"] for each in listed["answer"]] == [emails[2]["id"]]
    assert cancelled["answer"]["status"] == "canceled"


async def test_a_domain_is_registered_checked_and_revoked() -> None:
    async with ScalewayServer() as api:
        created, listed = await called(
            api,
            ("create_domain", {"domain_name": "new.example", "autoconfig": False, "accept_tos": True}),
            ("list_domains_all", {"name": "new.example", "project_id": api.project.project_id}),
        )
        domain = created["answer"]
        here = {"domain_id": domain["id"]}
        checked, missing = await called(api, ("check_domain", here), ("get_domain_last_status", here))
        api.project.published.add("new.example")
        _, found, seen, revoked, again, after = await called(
            api,
            ("check_domain", here),
            ("get_domain", here),
            ("get_domain_last_status", here),
            ("revoke_domain", here),
            ("revoke_domain", here),
            ("get_domain", here),
        )
    assert domain["status"] == "unchecked"
    assert domain["records"]["dkim"]["name"] == f"{api.project.project_id}._domainkey.new.example."
    assert domain["records"]["mx"]["value"] == "10 blackhole.tem.scaleway.com."
    assert domain["reputation"]["status"] == "excellent"
    assert [each["id"] for each in listed["answer"]] == [domain["id"]]
    assert checked["answer"]["next_check_at"]
    assert missing["answer"]["spf_record"]["status"] == "not_found"
    assert found["answer"]["status"] == "checked"
    assert found["answer"]["last_valid_at"]
    assert seen["answer"]["dkim_record"]["status"] == "valid"
    assert (revoked["answer"]["status"], again["answer"]["status"]) == ("revoked", "revoked")
    assert after["answer"]["records"] is None


async def test_its_rules_are_scaleways() -> None:
    async with ScalewayServer() as api:
        unchecked, *others = await called(
            api,
            ("create_email", EMAIL),
            ("create_email", {**EMAIL, "subject": "Hi"}),
            ("create_email", {**EMAIL, "to": [{"email": f"p{number}@b.example"} for number in range(11)]}),
            ("create_email", {**EMAIL, "to": [{"email": "nobody"}]}),
            ("create_email", {**EMAIL, "from_": {"email": "shop"}}),
            ("get_email", {"email_id": "3fe0a3e0-0000-0000-0000-000000000000"}),
            ("create_domain", {"domain_name": "nodot", "autoconfig": False}),
            ("create_email", {**EMAIL, "project_id": "3fe0a3e0-0000-0000-0000-000000000000"}),
        )
        (denied,) = await called(api, ("list_domains", {}), secret="3fe0a3e0-0000-0000-0000-000000000000")
    assert (unchecked["raised"], unchecked["status"]) == ("ScalewayException", 412)
    types = [(each["raised"], each["status"], json.loads(each["text"])["type"]) for each in (*others, denied)]
    assert types == [
        *[("ScalewayException", 400, "invalid_arguments")] * 4,
        ("ScalewayException", 404, "not_found"),
        ("ScalewayException", 400, "invalid_arguments"),
        ("ScalewayException", 403, "permissions_denied"),
        ("ScalewayException", 401, "denied_authentication"),
    ]
    details = [detail for each in others[:4] for detail in json.loads(each["text"])["details"]]
    assert [each["argument_name"] for each in details] == ["subject", "rcpt", "rcpt", "from"]
    assert details[2]["help_message"] == 'Invalid email recipient address: "nobody"'
    assert api.project.letters == []


async def test_bad_days_are_played_in_order() -> None:
    async with ScalewayServer() as api:
        api.project.checked(SENDER_DOMAIN)
        api.script["POST /emails"] = [
            refused(shapes.over_quota()),
            refused(shapes.transient("domain", "d", "pending")),
            refused(shapes.locked("domain", "d")),
            text(429, "<html>Too Many Requests</html>", "text/html"),
            shapes.Act(then="close"),
        ]
        quota, transient, locked, many, gone, fine = await called(api, *[("create_email", EMAIL)] * 6)
    assert [each["status"] for each in (quota, transient, locked)] == [403, 409, 423]
    # Its client reads every error as JSON, so that HTML is an error of its own.
    assert many["raised"] == "JSONDecodeError"
    assert gone["raised"] == "ConnectionError"
    assert fine["answer"]["emails"]
    assert len(api.project.letters) == 1
