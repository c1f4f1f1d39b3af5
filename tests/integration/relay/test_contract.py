"""What the relay port promises, held against every kind of relay: the fake in memory and each adapter."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import pytest

from libs.common.mime import Mailbox, build_message
from libs.common.relay.port import IdentityRefused, Letter, RelayTroubled, SendResult, Submission
from tests.integration.relay.kinds import (
    MAX_CONNECTIONS,
    OTHER_DOMAIN,
    SENDER,
    SENDER_DOMAIN,
    Harness,
    Kind,
    require,
    turned,
)

MODULES = sorted(file.stem for file in Path(__file__).parent.glob("kinds_*.py"))
KINDS: tuple[Kind, ...] = tuple(
    kind for module in MODULES for kind in import_module(f"tests.integration.relay.{module}").KINDS
)
BOB, CAROL, DAVE, ERIN = "bob@b.example", "carol@c.example", "dave@d.example", "erin@e.example"
SUBJECT = "Your order is on its way"
PATIENCE = 20.0
"""Seconds after which a test gives up waiting for what should be there at once."""


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    chosen: Kind = request.param
    require(chosen)
    return chosen


@asynccontextmanager
async def opened(kind: Kind, *, hasty: bool = False) -> AsyncIterator[Harness]:
    async with asyncio.timeout(PATIENCE), kind.opened(hasty=hasty) as harness:
        yield harness


def order(*recipients: str, bcc: tuple[str, ...] = (), number: int = 0) -> Submission:
    """The same email as octets and as a letter: to the first, copies to the others, and to `bcc` unseen."""
    named = [Mailbox(address) for address in recipients or (BOB,)]
    to, cc, sender = named[:1], named[1:], Mailbox(SENDER, "The Shop")
    text, html = "Your order left our house today.\n", "<p>Your order left our house today.</p>"
    message_id = f"<order-{number}@{SENDER_DOMAIN}>"
    message = build_message(
        from_=sender, to=to, cc=cc, subject=SUBJECT, message_id=message_id, date=datetime(2026, 5, 4, tzinfo=UTC),
        text=text, html=html, email_id=f"order-{number}",
    )  # fmt: skip
    letter = Letter(
        sender=sender, to=tuple(to), cc=tuple(cc), bcc=tuple(Mailbox(address) for address in bcc),
        subject=SUBJECT, text=text, html=html, email_id=f"order-{number}",
    )  # fmt: skip
    return Submission(SENDER, (*(each.address for each in named), *bcc), message, message_id, letter=letter)


class Asked:
    """A `before_dot` that counts."""

    def __init__(self, answer: bool = True) -> None:  # noqa: FBT001, FBT002 - its one argument
        self.answer, self.times = answer, 0

    async def __call__(self) -> bool:
        self.times += 1
        return self.answer


def outcomes(result: SendResult) -> list[tuple[str, str]]:
    return [(reply.address, reply.outcome) for reply in result.recipients]


def without_credentials(harness: Harness, *things: object) -> None:
    """No credential in any text, repr or exception."""
    seen = " ".join(f"{thing} {thing!r}" for thing in (*things, harness.relay))
    for credential in harness.credentials:
        assert credential not in seen


# ---------------------------------------------------------------------------------------------------------- sending


async def test_a_message_reaches_exactly_its_recipients_and_each_has_a_reply_in_order(kind: Kind) -> None:
    async with opened(kind) as harness:
        result = await harness.relay.send(order(CAROL, BOB, DAVE))
        assert outcomes(result) == [(CAROL, "accepted"), (BOB, "accepted"), (DAVE, "accepted")]
        assert result.provider_message_id or all(reply.provider_message_id for reply in result.recipients)
        arrived = await harness.received()
    assert sorted(address for each in arrived for address in each.recipients) == [BOB, CAROL, DAVE]
    assert {each.subject for each in arrived} == {SUBJECT}


async def test_only_those_still_owed_a_try_get_it_whoever_the_letter_names(kind: Kind) -> None:
    whole = order(BOB, CAROL, DAVE, bcc=(ERIN,))
    rest = Submission(whole.sender, (DAVE, ERIN), whole.message, whole.message_id, letter=whole.letter)
    async with opened(kind) as harness:
        assert outcomes(await harness.relay.send(rest)) == [(DAVE, "accepted"), (ERIN, "accepted")]
        arrived = await harness.received()
    assert sorted(address for each in arrived for address in each.recipients) == [DAVE, ERIN]


async def test_nobody_sees_who_got_a_blind_copy(kind: Kind) -> None:
    async with opened(kind) as harness:
        result = await harness.relay.send(order(BOB, bcc=(ERIN,)))
        assert outcomes(result) == [(BOB, "accepted"), (ERIN, "accepted")]
        arrived = await harness.received()
    assert any(ERIN in each.recipients for each in arrived)
    assert not any(ERIN in each.visible for each in arrived)
    assert all(BOB in each.visible for each in arrived)


async def test_the_question_before_the_dot_is_asked_once(kind: Kind) -> None:
    asked = Asked()
    async with opened(kind) as harness:
        assert outcomes(await harness.relay.send(order(), before_dot=asked)) == [(BOB, "accepted")]
    assert asked.times == 1


async def test_a_no_before_the_dot_sends_nothing_and_the_relay_serves_on(kind: Kind) -> None:
    asked = Asked(answer=False)
    async with opened(kind) as harness:
        assert (await harness.relay.send(order(BOB), before_dot=asked)).abandoned
        assert asked.times == 1
        assert await harness.received() == []
        assert outcomes(await harness.relay.send(order(CAROL))) == [(CAROL, "accepted")]
        assert [each.recipients for each in await harness.received()] == [(CAROL,)]


async def test_what_the_question_raises_comes_out_and_nothing_is_sent(kind: Kind) -> None:
    class LeaseLost(Exception):
        pass

    async def lost() -> bool:
        raise LeaseLost

    async with opened(kind) as harness:
        with pytest.raises(LeaseLost):
            await harness.relay.send(order(), before_dot=lost)
        assert await harness.received() == []
        assert outcomes(await harness.relay.send(order())) == [(BOB, "accepted")]


async def test_refused_credentials_are_configuration_trouble_and_send_nothing(kind: Kind) -> None:
    async with opened(kind) as harness:
        await turned(kind, "refuse credentials", harness.refuse_credentials)
        result = await harness.relay.send(order())
        assert result.trouble is not None
        assert result.trouble.kind == "configuration"
        assert await harness.received() == []
        without_credentials(harness, result)


async def test_a_refused_message_is_its_own_failure_for_every_recipient(kind: Kind) -> None:
    async with opened(kind) as harness:
        await turned(kind, "refuse a message", harness.refuse_message)
        result = await harness.relay.send(order(BOB, CAROL))
        assert outcomes(result) == [(BOB, "failed"), (CAROL, "failed")]
        assert all(reply.text for reply in result.recipients)
        assert result.provider_message_id is None
        assert await harness.received() == []
        without_credentials(harness, result)


async def test_silence_after_the_hand_over_is_unknown_and_never_deferred(kind: Kind) -> None:
    async with opened(kind, hasty=True) as harness:
        await turned(kind, "fall silent", harness.fall_silent)
        result = await harness.relay.send(order())
        assert (result.unknown_stage, result.recipients) == ("final_dot", ())
        assert result.detail
        without_credentials(harness, result)


async def test_nobody_listening_is_connection_trouble_and_nothing_is_asked(kind: Kind) -> None:
    asked = Asked()
    async with opened(kind) as harness:
        await turned(kind, "be away", harness.away)
        result = await harness.relay.send(order(), before_dot=asked)
        assert result.trouble is not None
        assert result.trouble.kind == "connection"
        assert asked.times == 0
        without_credentials(harness, result)


async def test_too_fast_is_throttling(kind: Kind) -> None:
    async with opened(kind) as harness:
        await turned(kind, "throttle", harness.throttle)
        result = await harness.relay.send(order())
        assert result.trouble is not None
        assert result.trouble.kind == "throttled"
        assert await harness.received() == []


async def test_a_used_up_quota_is_said_to_be_one(kind: Kind) -> None:
    async with opened(kind) as harness:
        await turned(kind, "use up the quota", harness.use_up_quota)
        result = await harness.relay.send(order())
        assert result.trouble is not None
        assert result.trouble.kind == "quota"
        assert await harness.received() == []


async def test_twenty_at_once_share_the_connections_allowed_and_use_them_all(kind: Kind) -> None:
    async with opened(kind) as harness:
        if harness.most_at_once is None:
            pytest.skip(f"{kind.name} does not count what is in its hands")
        await turned(kind, "linger", harness.linger)
        results = await asyncio.gather(*(harness.relay.send(order(number=number)) for number in range(20)))
        assert [outcomes(result) for result in results] == [[(BOB, "accepted")]] * 20
        assert harness.most_at_once() == MAX_CONNECTIONS
        assert len(await harness.received()) == 20


async def test_a_cancelled_send_closes_what_it_opened(kind: Kind) -> None:
    async with opened(kind) as harness:
        if harness.connections is None or harness.handed_over is None:
            pytest.skip(f"{kind.name} does not count its connections")
        await turned(kind, "fall silent", harness.fall_silent)
        sending = asyncio.create_task(harness.relay.send(order()))
        await harness.handed_over()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        while harness.connections():
            await asyncio.sleep(0.005)


async def test_closing_twice_is_closing(kind: Kind) -> None:
    async with opened(kind) as harness:
        assert outcomes(await harness.relay.send(order())) == [(BOB, "accepted")]
        await harness.relay.close()
        await harness.relay.close()
        while harness.connections is not None and harness.connections():
            await asyncio.sleep(0.005)


# ------------------------------------------------------------------------------------------------------ credentials


async def test_good_credentials_have_nothing_said_against_them(kind: Kind) -> None:
    async with opened(kind) as harness:
        assert await harness.relay.check_credentials() is None
        assert await harness.received() == []
        without_credentials(harness)


async def test_checking_refused_credentials_is_configuration_trouble(kind: Kind) -> None:
    async with opened(kind) as harness:
        await turned(kind, "refuse credentials", harness.refuse_credentials)
        trouble = await harness.relay.check_credentials()
        assert trouble is not None
        assert trouble.kind == "configuration"
        assert trouble.text
        without_credentials(harness, trouble)


async def test_checking_when_nobody_listens_is_connection_trouble(kind: Kind) -> None:
    async with opened(kind) as harness:
        await turned(kind, "be away", harness.away)
        trouble = await harness.relay.check_credentials()
        assert trouble is not None
        assert trouble.kind == "connection"
        without_credentials(harness, trouble)


# ------------------------------------------------------------------------------------------------------- identities


async def test_an_identity_is_created_verified_when_it_is_published_and_deleted(kind: Kind) -> None:
    async with opened(kind) as harness:
        created = await harness.relay.create_identity(OTHER_DOMAIN)
        if harness.keeps_identities:
            unseen = "verified" if harness.verifies_at_once else "pending"
            assert created.status == unseen
            assert any(record.required for record in created.records)
            assert not any(record.name.endswith(".") for record in created.records)
            assert (await harness.relay.verify_identity(OTHER_DOMAIN)).status == unseen
            if harness.publish is not None:
                await harness.publish(OTHER_DOMAIN)
                verified = await harness.relay.verify_identity(OTHER_DOMAIN)
                assert verified.status == "verified"
                # SES says nothing of SPF: that is left to whoever looks into DNS.
                said = {record.status for record in verified.records if record.required}
                assert "verified" in said <= {"verified", "unknown"}
        else:
            assert (created.status, created.records) == ("verified", ())
            assert (await harness.relay.verify_identity(OTHER_DOMAIN)).status == "verified"
        await harness.relay.delete_identity(OTHER_DOMAIN)
        if harness.keeps_identities:
            with pytest.raises(IdentityRefused):
                await harness.relay.verify_identity(OTHER_DOMAIN)


async def test_creating_an_identity_twice_takes_up_the_first(kind: Kind) -> None:
    async with opened(kind) as harness:
        first = await harness.relay.create_identity(OTHER_DOMAIN)
        assert await harness.relay.create_identity(OTHER_DOMAIN) == first


async def test_deleting_an_identity_that_is_not_there_is_done(kind: Kind) -> None:
    async with opened(kind) as harness:
        await harness.relay.create_identity(OTHER_DOMAIN)
        await harness.relay.delete_identity(OTHER_DOMAIN)
        await harness.relay.delete_identity(OTHER_DOMAIN)
        await harness.relay.delete_identity("never-seen.example")


Asking = Callable[[Harness], Awaitable[object]]
ASKING: dict[str, Asking] = {
    "create": lambda harness: harness.relay.create_identity(OTHER_DOMAIN),
    "verify": lambda harness: harness.relay.verify_identity(OTHER_DOMAIN),
    "delete": lambda harness: harness.relay.delete_identity(OTHER_DOMAIN),
}


@pytest.mark.parametrize("asking", ASKING.values(), ids=ASKING)
async def test_an_identity_cannot_be_asked_about_while_the_provider_is_in_trouble(kind: Kind, asking: Asking) -> None:
    async with opened(kind) as harness:
        if not harness.keeps_identities:
            pytest.skip(f"{kind.name} knows no identities")
        await turned(kind, "refuse credentials", harness.refuse_credentials)
        with pytest.raises(RelayTroubled) as refused:
            await asking(harness)
        assert refused.value.trouble.kind == "configuration"
        without_credentials(harness, refused.value, refused.value.trouble)
    async with opened(kind) as harness:
        await turned(kind, "be away", harness.away)
        with pytest.raises(RelayTroubled) as away:
            await asking(harness)
        assert away.value.trouble.kind == "connection"
