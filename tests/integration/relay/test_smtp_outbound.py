"""Where a relay of ours connects to, seen from the wire."""

import asyncio
import logging
from dataclasses import replace

import pytest

from libs.common.relay.opening import open_relay, surroundings
from libs.common.relay.outbound import OutboundPolicy, Resolver, resolve
from libs.common.relay.port import Trouble
from libs.common.relay.smtp.dial import FLOOR
from libs.common.relay.smtp.relay import open_smtp_relay
from libs.common.settings import RelaySettings
from tests.integration.relay.common import (
    HASTY,
    PATIENT,
    patient_but,
    settings,
    tried,
)
from tests.support import aio
from tests.support.relay import ScriptedRelay, hang
from tests.support.sending import provider_state

REFUSED = OutboundPolicy(own_ports=frozenset(range(1, 65536)))


async def failed(
    host: str, port: int, *, policy: OutboundPolicy, resolver: Resolver = resolve
) -> tuple[Trouble, float]:
    """What the caller is told of a dial that fails, and after how many seconds."""
    ours = open_smtp_relay(settings(port, host=host), policy=policy, resolver=resolver)
    loop = asyncio.get_running_loop()
    began = loop.time()
    trouble = await ours.check_credentials()
    took = loop.time() - began
    await ours.close()
    assert trouble is not None
    return trouble, took


async def told(host: str, port: int, *, policy: OutboundPolicy, resolver: Resolver = resolve) -> tuple[Trouble, float]:
    """The same, with the shorter of two times: whoever else is at work on this machine only adds to one."""
    trouble, first = await failed(host, port, policy=policy, resolver=resolver)
    _, second = await failed(host, port, policy=policy, resolver=resolver)
    return trouble, min(first, second)


async def metadata(_host: str, _port: int) -> tuple[str, ...]:
    return ("127.0.0.1", "169.254.169.254")


WHY = ("our own servers", "TEMPS_SMTP_PORTS", "not a public", "never connected", "Connection refused", "no address")


def test_a_refusal_and_a_closed_port_cannot_be_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay:
            port = relay.port
            refused = [
                await told("localhost", port, policy=REFUSED),
                await told("localhost", port, policy=OutboundPolicy(ports=frozenset({port % 65535 + 1}))),
                await told("localhost", port, policy=OutboundPolicy(allow_private=False)),
                await told("localhost", port, policy=OutboundPolicy(), resolver=metadata),
            ]
            assert relay.sessions == []
        closed, took = await told("localhost", port, policy=OutboundPolicy())
        everything = [*refused, await told("localhost", port, policy=OutboundPolicy(), resolver=_nowhere)]
        assert {trouble for trouble, _ in everything} == {closed}
        assert (closed.kind, closed.text) == ("connection", f"localhost:{port} cannot be connected to")
        times = [took, *(seconds for _, seconds in everything)]
        assert min(times) >= FLOOR - 0.002  # uvloop's clock counts whole milliseconds, at both ends
        assert max(times) - min(times) < 0.1

    with caplog.at_level(logging.WARNING):
        aio.run(run())
    assert [why for why in WHY if why not in caplog.text] == [], "the operator is told which it was"


async def _nowhere(_host: str, _port: int) -> tuple[str, ...]:
    return ()


def test_a_queue_of_failures_is_said_once_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay:
            port = relay.port
        await asyncio.gather(*(failed("127.0.0.1", port, policy=OutboundPolicy()) for _ in range(5)))
        assert caplog.text.count(f"127.0.0.1:{port} was not connected to") == 1

    with caplog.at_level(logging.WARNING):
        aio.run(run())


def test_a_success_is_not_delayed() -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay:
            ours = open_smtp_relay(settings(relay.port))
            loop = asyncio.get_running_loop()
            times = []
            for _ in range(3):
                began = loop.time()
                assert await ours.check_credentials() is None
                times.append(loop.time() - began)
            assert min(times) < FLOOR

    aio.run(run())


@pytest.mark.parametrize("word", ["container", "TEMPS_OUTBOUND_POLICY", "TEMPS_SMTP_PORTS", "Nothing listens"])
def test_the_suggestion_names_every_possibility(word: str) -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay:
            port = relay.port
        trouble, _ = await failed("127.0.0.1", port, policy=OutboundPolicy())
        assert word in (trouble.suggestion or "")

    aio.run(run())


def test_the_bundled_inbox_is_connected_to_under_the_strictest_policy() -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay:
            policy = replace(REFUSED, allow_private=False, ports=frozenset({587}), inbox=f"localhost:{relay.port}")
            assert await open_smtp_relay(settings(relay.port), policy=policy).check_credentials() is None

    aio.run(run())


@pytest.mark.parametrize(
    ("setting", "allowed"),
    [
        ({}, True),
        ({"outbound_policy": "public"}, False),
        ({"smtp_ports": "587"}, False),
        ({"smtp_ports": "587,{port}"}, True),
        ({"own_ports": "{port}"}, False),
        ({"nats_url": "nats://127.0.0.1:{port}"}, False),
        ({"own_ports": "{port}", "outbound_policy": "public", "local_inbox_smtp": "127.0.0.1:{port}"}, True),
    ],
)
def test_the_operators_settings_decide(setting: dict[str, str], *, allowed: bool) -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay:
            given = {name: value.format(port=relay.port) for name, value in setting.items()}
            files = {"principal_key_file": "unused", "keyring_file": "unused"}
            around = surroundings(RelaySettings.model_validate({"nats_url": "nats://127.0.0.1:1", **files, **given}))
            ours = open_relay(provider_state(1, relay.port), {}, around, connections=1)
            assert not isinstance(ours, Trouble)
            assert (await ours.check_credentials() is None) is allowed
            assert bool(relay.sessions) is allowed

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
    assert trouble.text == f"{host}:25 cannot be connected to"


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
