"""The account, its sending domains and the way of its events, as AWS documents them."""

import asyncio

import pytest

from libs.common.facts.domain import DnsRecord
from libs.common.relay.port import IdentityRefused, RelayTroubled
from tests.integration.relay.ses_common import HASTY, relay_for
from tests.support.ses import Act, SesServer, html, refused
from tests.support.ses_account import Known

OTHER = "other.example"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:temps"


def statuses(records: tuple[DnsRecord, ...]) -> list[tuple[str, str]]:
    return [(record.record_type, record.status) for record in records]


def refused_mail_from(records: tuple[DnsRecord, ...]) -> bool:
    return statuses(records)[:2] == [("TXT", "failed"), ("MX", "failed")]


# ---------------------------------------------------------------------------------------------------------- the account


@pytest.mark.parametrize("sandbox", [True, False])
async def test_an_account_that_may_send_is_fine_in_the_sandbox_too(sandbox: bool) -> None:  # noqa: FBT001
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.account.sandbox = sandbox
        assert await relay.check_credentials() is None
        assert [request.operation for request in ses.requests] == ["GetAccount"]


async def test_a_paused_account_is_configuration_trouble_that_says_why() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.account.sending_enabled, ses.account.enforcement = False, "SHUTDOWN"
        trouble = await relay.check_credentials()
    assert trouble is not None
    assert trouble.kind == "configuration"
    assert "SHUTDOWN" in trouble.text
    assert trouble.suggestion


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (refused(403, "AccessDeniedException", "not authorized to perform: ses:GetAccount"), "configuration"),
        (refused(403, "RequestTimeTooSkewed", ""), "configuration"),
        (refused(400, "BadRequestException", "x"), "configuration"),
        (refused(429, "TooManyRequestsException", ""), "throttled"),
        (refused(500, "InternalFailure", ""), "connection"),
        (html(502), "connection"),
        (html(404), "configuration"),
        (Act(then="close"), "connection"),
        (Act(body=b"nonsense"), "configuration"),
        (Act(body=b"{}"), "configuration"),
    ],
)
async def test_what_stands_in_the_way_of_checking_is_told_apart(act: Act, kind: str) -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.script["GetAccount"] = act
        trouble = await relay.check_credentials()
    assert trouble is not None
    assert trouble.kind == kind


async def test_checking_ends_though_nobody_answers() -> None:
    async with SesServer() as ses, relay_for(ses, read_timeout=HASTY) as relay:
        ses.script["GetAccount"] = Act(then="hang")
        trouble = await relay.check_credentials()
    assert trouble is not None
    assert trouble.kind == "connection"


# ---------------------------------------------------------------------------------------------------------- identities


async def test_a_domain_gets_easy_dkim_a_mail_from_and_our_configuration_set() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        identity = await relay.create_identity(OTHER)
        known = ses.account.identities[OTHER]
    assert (known.mail_from, known.configuration_set) == ("send.other.example", "temps")
    assert identity.status == "pending"
    assert identity.error is None
    assert [record.value for record in identity.records if record.record_type == "CNAME"] == [
        f"{token}.dkim.amazonses.com" for token in known.tokens
    ]
    assert statuses(identity.records) == [
        ("TXT", "unknown"), ("MX", "pending"), *[("CNAME", "pending")] * 3, ("TXT", "unknown"),
    ]  # fmt: skip


async def test_a_configuration_set_that_is_there_is_used() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.account.configuration_sets["temps"] = {}
        await relay.create_identity(OTHER)
        assert ses.account.identities[OTHER].configuration_set == "temps"


async def test_a_key_that_may_not_make_configuration_sets_can_have_domains() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.account.denied.add("CreateConfigurationSet")
        assert (await relay.create_identity(OTHER)).status == "pending"
        assert ses.account.identities[OTHER].configuration_set is None


async def test_an_identity_that_is_there_is_taken_up_as_it_is() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.account.identities[OTHER] = Known(
            "SUCCESS", ("t1", "t2", "t3"), mail_from="bounce.other.example", mail_from_status="SUCCESS"
        )
        identity = await relay.create_identity(OTHER)
        assert ses.account.identities[OTHER].mail_from == "bounce.other.example"
        assert ses.count("PutEmailIdentityMailFromAttributes") == 0
    assert identity.status == "verified"
    assert [record.name for record in identity.records[:2]] == ["bounce.other.example"] * 2
    assert statuses(identity.records)[:3] == [("TXT", "unknown"), ("MX", "verified"), ("CNAME", "verified")]


@pytest.mark.parametrize(
    "act",
    [refused(400, "BadRequestException", "MAIL FROM domain is taken"), refused(403, "AccessDeniedException", "no")],
)
async def test_a_refused_mail_from_leaves_the_domain_and_says_why(act: Act) -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.script["PutEmailIdentityMailFromAttributes"] = [act]
        identity = await relay.create_identity(OTHER)
        assert identity.status == "pending"
        assert refused_mail_from(identity.records)
        assert "send.other.example" in (identity.error or "")
        # Asked for once more with the next check, and then it is there.
        checked = await relay.verify_identity(OTHER)
        assert (ses.account.identities[OTHER].mail_from, checked.error) == ("send.other.example", None)
        assert statuses(checked.records)[:2] == [("TXT", "unknown"), ("MX", "pending")]


async def test_a_lost_line_at_the_mail_from_is_no_refusal_and_the_next_try_takes_the_domain_up() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        # Twice: aiohttp repeats a PUT on a kept connection once.
        ses.script["PutEmailIdentityMailFromAttributes"] = [Act(then="close")] * 2
        with pytest.raises(RelayTroubled) as lost:
            await relay.create_identity(OTHER)
        assert lost.value.trouble.kind == "connection"
        identity = await relay.create_identity(OTHER)
    assert statuses(identity.records)[1] == ("MX", "pending")


async def test_a_domain_that_ses_refuses_is_refused_in_its_words() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.script["CreateEmailIdentity"] = refused(400, "BadRequestException", "Invalid email address<x>.")
        with pytest.raises(IdentityRefused) as no:
            await relay.create_identity(OTHER)
    assert "Invalid email address" in no.value.text


async def test_one_domain_too_many_is_refused() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.script["CreateEmailIdentity"] = refused(400, "LimitExceededException", "too many identities")
        with pytest.raises(IdentityRefused, match="too many identities"):
            await relay.create_identity(OTHER)


async def test_an_account_with_no_room_for_our_configuration_set_has_domains_all_the_same() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.script["CreateConfigurationSet"] = refused(400, "LimitExceededException", "too many configuration sets")
        assert (await relay.create_identity(OTHER)).status == "pending"
        creation = next(each for each in ses.requests if each.operation == "CreateEmailIdentity")
    assert "ConfigurationSetName" not in creation.body


@pytest.mark.parametrize("status", [400, 413])
async def test_what_a_gateway_refuses_says_nothing_of_a_domain_or_the_credentials(status: int) -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.script |= {"GetEmailIdentity": html(status), "GetAccount": html(status)}
        with pytest.raises(RelayTroubled) as no:
            await relay.verify_identity(OTHER)
        trouble = await relay.check_credentials()
    assert no.value.trouble.kind == "connection"
    assert trouble is not None
    assert trouble.kind == "connection"


@pytest.mark.parametrize(
    ("status", "expected", "record"),
    [
        ("PENDING", "pending", "pending"),
        ("SUCCESS", "verified", "verified"),
        ("FAILED", "failed", "failed"),
        ("TEMPORARY_FAILURE", "temporary_failure", "pending"),
    ],
)
async def test_checking_says_what_ses_says(status: str, expected: str, record: str) -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.account.identities[OTHER] = Known(
            status,
            ("t1", "t2", "t3"),
            mail_from="send.other.example",
            mail_from_status=status,
            error_type="HOST_NOT_FOUND",
        )
        identity = await relay.verify_identity(OTHER)
    assert identity.status == expected
    assert statuses(identity.records)[1:5] == [("MX", record), *[("CNAME", record)] * 3]
    assert (identity.error is None) == (expected in {"pending", "verified"})


async def test_checking_and_deleting_what_is_not_there() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        with pytest.raises(IdentityRefused):
            await relay.verify_identity(OTHER)
        await relay.delete_identity(OTHER)
        await relay.create_identity(OTHER)
        await relay.delete_identity(OTHER)
        assert OTHER not in ses.account.identities


async def test_something_that_is_not_ses_is_no_answer_about_a_domain() -> None:
    """A bare 404 says that the endpoint is wrong; it must not delete or refuse anything."""
    async with SesServer() as ses, relay_for(ses) as relay:
        ses.script |= dict.fromkeys(("GetEmailIdentity", "DeleteEmailIdentity"), html(404))
        ses.script |= {"CreateEmailIdentity": Act(body=b"<html>welcome</html>")}
        for asking in (relay.verify_identity, relay.delete_identity, relay.create_identity):
            with pytest.raises(RelayTroubled) as wrong:
                await asking(OTHER)
            assert wrong.value.trouble.kind == "configuration"


async def test_all_kinds_of_requests_share_the_connections_allowed() -> None:
    async with SesServer() as ses, relay_for(ses, max_connections=2) as relay:
        ses.script["GetAccount"] = Act(then="usual", delay=0.02)
        ses.script["GetEmailIdentity"] = Act(then="usual", delay=0.02)
        await relay.create_identity(OTHER)
        await asyncio.gather(
            *(relay.check_credentials() for _ in range(5)), *(relay.verify_identity(OTHER) for _ in range(5))
        )
        assert ses.most_at_work == 2


# ---------------------------------------------------------------------------------------------------------- events


async def test_events_are_routed_to_a_topic_and_a_second_time_to_another() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        await relay.route_events(TOPIC)
        await relay.route_events(TOPIC)
        assert ses.account.configuration_sets["temps"]["temps"] == {
            "Enabled": True,
            "MatchingEventTypes": [
                "SEND", "REJECT", "BOUNCE", "COMPLAINT", "DELIVERY", "DELIVERY_DELAY", "RENDERING_FAILURE",
            ],
            "SnsDestination": {"TopicArn": TOPIC},
        }  # fmt: skip
        await relay.route_events(f"{TOPIC}-2")
        assert list(ses.account.configuration_sets["temps"]) == ["temps"]
        assert ses.account.configuration_sets["temps"]["temps"]["SnsDestination"] == {"TopicArn": f"{TOPIC}-2"}


async def test_a_topic_that_ses_does_not_take_is_refused() -> None:
    async with SesServer() as ses, relay_for(ses) as relay:
        with pytest.raises(IdentityRefused):
            await relay.route_events("nonsense")
