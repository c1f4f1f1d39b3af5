"""Where a relay of ours connects to, seen from the wire."""

import pytest

from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import Trouble
from libs.common.relay.smtp import open_smtp_relay
from tests.integration.relay.common import (
    HASTY,
    PATIENT,
    patient_but,
    settings,
    submission,
    tried,
)
from tests.support import aio
from tests.support.relay import ScriptedRelay, hang


def test_a_refused_connection_on_localhost_says_what_that_means_in_a_container() -> None:
    async def run() -> Trouble | None:
        async with ScriptedRelay() as relay:
            port = relay.port
        return await open_smtp_relay(settings(port, host="localhost")).check_credentials()

    trouble = aio.run(run())
    assert trouble is not None
    assert trouble.kind == "connection"
    assert "refused" in trouble.text
    assert "container" in (trouble.suggestion or "")


def test_a_host_that_leads_to_metadata_is_never_connected_to() -> None:
    async def metadata(_host: str, _port: int) -> tuple[str, ...]:
        return ("127.0.0.1", "169.254.169.254")

    async def run() -> None:
        async with ScriptedRelay() as relay:
            ours = open_smtp_relay(settings(relay.port, host="relay.test"), resolver=metadata)
            trouble = (await ours.send(submission())).trouble
            assert trouble is not None
            assert trouble.kind == "configuration"
            assert trouble.text.startswith("address_not_allowed")
            assert relay.sessions == []

    aio.run(run())


def test_our_own_servers_are_not_spoken_to() -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay:
            policy = OutboundPolicy(own_ports=frozenset({relay.port}))
            ours = open_smtp_relay(settings(relay.port), policy=policy)
            trouble = await ours.check_credentials()
            assert trouble is not None
            assert trouble.text.startswith("address_not_allowed")
            assert relay.sessions == []

    aio.run(run())


def test_a_name_that_changes_its_address_cannot_slip_past_the_check() -> None:
    answers = iter([("127.0.0.1",), ("169.254.169.254",)])

    async def rebinding(_host: str, _port: int) -> tuple[str, ...]:
        return next(answers)

    async def run() -> None:
        async with ScriptedRelay() as relay:
            ours = open_smtp_relay(settings(relay.port, host="relay.test"), resolver=rebinding)
            assert await ours.check_credentials() is None
            assert len(relay.sessions) == 1

    aio.run(run())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 300, "a..b"])
def test_a_name_without_address_is_a_connection_trouble(host: str) -> None:
    trouble = aio.run(open_smtp_relay(settings(25, host=host)).check_credentials())
    assert trouble is not None
    assert trouble.kind == "connection"
    assert "resolved" in trouble.text


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def two(_host: str, _port: int) -> tuple[str, ...]:
        return ("::1", "127.0.0.1")

    async def run() -> None:
        async with ScriptedRelay() as relay:
            ours = open_smtp_relay(settings(relay.port, host="relay.test", timeouts=PATIENT), resolver=two)
            assert await ours.check_credentials() is None

    aio.run(run())


def test_checking_credentials_takes_no_longer_than_its_limit() -> None:
    relay = ScriptedRelay({"connect": hang()})
    trouble = tried(relay, timeouts=patient_but(check=HASTY))
    assert trouble is not None
    assert trouble.kind == "connection"


def test_smtp_knows_no_identities() -> None:
    async def run() -> None:
        ours = open_smtp_relay(settings(25))
        for identity in (await ours.create_identity("a.example"), await ours.verify_identity("a.example")):
            assert (identity.status, identity.records, identity.error) == ("verified", (), None)
        await ours.delete_identity("a.example")

    aio.run(run())
