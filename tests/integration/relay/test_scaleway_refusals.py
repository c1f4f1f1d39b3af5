"""Scaleway saying no: trouble of the provider, the message's failure, or one bad recipient among others."""

import pytest

from libs.common.mime import Mailbox
from tests.integration.relay.scaleway_common import BOB, CAROL, DAVE, answered_by, outcomes, scaleway, submission
from tests.support import scaleway_shapes as shapes
from tests.support.scaleway import refused, text
from tests.support.scaleway_shapes import Act

TROUBLES = {
    "unknown key": (refused(shapes.denied()), "configuration"),
    "malformed key": (refused(shapes.denied("invalid_argument")), "configuration"),
    "expired key": (refused(shapes.denied("expired")), "configuration"),
    "no permission": (refused(shapes.forbidden()), "configuration"),
    "403 without a type": (text(403, "Forbidden"), "configuration"),
    "unpaid": (text(402, "Payment Required"), "configuration"),
    "no such region": (text(404, "404 page not found"), "configuration"),
    "no such project": (refused(shapes.not_found("project", "p")), "configuration"),
    "malformed project": (refused(shapes.invalid(("project_id", "format", "not a UUID"))), "configuration"),
    "quota": (refused(shapes.over_quota()), "quota"),
    "429 in html": (text(429, "<html><body>Too Many Requests</body></html>", "text/html"), "throttled"),
    "429 in json": (refused((429, {"type": "too_many_requests", "message": "slow down"})), "throttled"),
    "429 that lies": (Act(429, b"<html>", "application/json"), "throttled"),
    "request timed out": (text(408, "Request Timeout"), "connection"),
    "500": (text(500, "Internal Server Error"), "connection"),
    "500 in json": (refused((500, {"type": "internal", "message": "internal error"})), "connection"),
    "503": (text(503, "upstream connect error"), "connection"),
    "redirect": (Act(302, b"", headers={"Location": "http://127.0.0.1:1/"}), "connection"),
}


@pytest.mark.parametrize(("act", "kind"), TROUBLES.values(), ids=TROUBLES)
async def test_what_speaks_of_the_provider_is_trouble(act: Act, kind: str) -> None:
    result = await answered_by(act, BOB, CAROL)
    assert result.trouble is not None
    assert result.trouble.kind == kind
    assert str(act.status) in result.trouble.text
    assert "<" not in result.trouble.text


REFUSALS = {
    "spam": refused(shapes.invalid(("html", "constraint", "looks like spam"))),
    "bad sender": refused(shapes.invalid(("from", "format", 'Invalid email from address: "shop"'))),
    "domain not checked": refused(shapes.precondition('domain "shop.example" is not checked in this project')),
    "no such domain": refused(shapes.not_found("domain", "d")),
    "expired": refused((410, {"type": "resource_expired", "message": "expired", "resource": "domain"})),
    "too large": text(413, "Request Entity Too Large"),
    "400 without a type": text(400, "Bad Request"),
    "422": refused((422, {"message": "no"})),
}


@pytest.mark.parametrize("act", REFUSALS.values(), ids=REFUSALS)
async def test_what_speaks_of_the_message_fails_it_for_everybody(act: Act) -> None:
    result = await answered_by(act, BOB, CAROL)
    assert outcomes(result) == [(BOB, "failed"), (CAROL, "failed")]
    assert str(act.status) in result.recipients[0].text


async def test_a_refusal_is_passed_on_in_its_own_words() -> None:
    people = tuple(f"p{number}@b.example" for number in range(11))
    async with scaleway() as (api, relay):
        api.project.domains.clear()
        unchecked = await relay.send(submission())
        short = await relay.send(submission(subject="Hi"))
        large = await relay.send(submission(text="x" * 2_000_000))
        many = await relay.send(submission(*people, to=tuple(map(Mailbox, people)), cc=(), bcc=()))
    assert large.recipients[0].text == "413 Request Entity Too Large"
    assert {outcome for _, outcome in (*outcomes(large), *outcomes(many))} == {"failed"}
    assert "rcpt constraint The number of recipients must be at most 10" in many.recipients[0].text
    assert 'domain "shop.example" is not checked in this project' in unchecked.recipients[0].text
    assert "subject constraint The subject must have at least 10 characters" in short.recipients[0].text


@pytest.mark.parametrize(
    "act",
    [refused(shapes.transient("domain", "d", "pending")), refused(shapes.locked("domain", "d")), text(409, "Conflict")],
    ids=["transient state", "locked", "409 without a type"],
)
async def test_a_domain_that_is_being_worked_on_delays_the_mail(act: Act) -> None:
    result = await answered_by(act, BOB, CAROL)
    assert outcomes(result) == [(BOB, "deferred"), (CAROL, "deferred")]


async def test_a_type_counts_for_more_than_its_status() -> None:
    _, body = shapes.over_quota()
    result = await answered_by(refused((429, body)))
    assert result.trouble is not None
    assert result.trouble.kind == "quota"


# ------------------------------------------------------------------------------------------------- one bad recipient


def bad_recipient(*addresses: str, argument: str = "rcpt") -> Act:
    details = [(argument, "format", f'Invalid email recipient address: "{address}"') for address in addresses]
    return refused(shapes.invalid(*details))


@pytest.mark.parametrize("argument", ["rcpt", "to", "cc[0].email", "bcc.1"])
async def test_a_bad_recipient_fails_alone_and_the_others_go_without_it(argument: str) -> None:
    async with scaleway(bad_recipient(CAROL, argument=argument)) as (api, relay):
        first = await relay.send(submission(BOB, CAROL, DAVE))
        assert outcomes(first) == [(BOB, "deferred"), (CAROL, "failed"), (DAVE, "deferred")]
        assert api.project.letters == []
        left = [reply.address for reply in first.recipients if reply.outcome == "deferred"]
        assert outcomes(await relay.send(submission(*left))) == [(BOB, "accepted"), (DAVE, "accepted")]
        assert [email["mail_rcpt"] for email in api.project.emails.values()] == [BOB, DAVE]


async def test_several_bad_recipients_fail_at_once() -> None:
    result = await answered_by(bad_recipient(CAROL, BOB), BOB, CAROL, DAVE)
    assert outcomes(result) == [(BOB, "failed"), (CAROL, "failed"), (DAVE, "deferred")]


async def test_a_recipient_is_not_taken_for_one_whose_address_ends_alike() -> None:
    letter = {"to": (Mailbox(BOB), Mailbox(f"jim-{BOB}"))}
    async with scaleway(bad_recipient(f"jim-{BOB}")) as (_, relay):
        result = await relay.send(submission(BOB, f"jim-{BOB}", **letter))
    assert outcomes(result) == [(BOB, "deferred"), (f"jim-{BOB}", "failed")]


@pytest.mark.parametrize(
    "act",
    [
        bad_recipient("somebody-else@b.example"),
        refused(shapes.invalid(("rcpt", "constraint", "too many"))),
        refused(
            shapes.invalid(
                ("rcpt", "format", f'Invalid email recipient address: "{BOB}"'), ("subject", "constraint", "too short")
            )
        ),
    ],
    ids=["none of ours", "nobody", "the subject too"],
)
async def test_when_nobody_can_be_left_out_the_message_fails_for_everybody(act: Act) -> None:
    result = await answered_by(act, BOB, CAROL)
    assert outcomes(result) == [(BOB, "failed"), (CAROL, "failed")]


@pytest.mark.parametrize(("status", "kind"), [(403, "configuration"), (429, "throttled"), (503, "connection")])
async def test_a_refusal_whose_body_broke_off_is_still_one(status: int, kind: str) -> None:
    result = await answered_by(Act(status, b'{"type": "denied_authentication", "message": "no"}', then="cut"))
    assert result.trouble is not None
    assert result.trouble.kind == kind
