"""Kept connections: how many, how long, and never one that could be in doubt."""

import asyncio
from dataclasses import replace

import pytest

from libs.common.relay.smtp.relay import open_smtp_relay
from tests.integration.relay.common import (
    BOB,
    BOTH_WAYS,
    CAROL,
    PATIENT,
    outcomes,
    relay_for,
    settings,
    submission,
)
from tests.support import aio
from tests.support.relay import Act, Script, ScriptedRelay, close, hang, reset, say

both_ways = pytest.mark.parametrize("extensions", BOTH_WAYS, ids=("group", "one by one"))
ACCEPTED = {BOB: ("accepted", 250)}


@both_ways
def test_one_connection_serves_many_messages_without_a_reset(extensions: tuple[str, ...]) -> None:
    async def run() -> None:
        async with ScriptedRelay(extensions=extensions) as relay, relay_for(relay) as ours:
            for _ in range(20):
                assert outcomes(await ours.send(submission())) == ACCEPTED
            assert len(relay.sessions) == 1
            assert len(relay.messages) == 20
            assert relay.sessions[0].verbs().count("MAIL") == 20
            assert "RSET" not in relay.sessions[0].verbs()

    aio.run(run())


def test_never_more_connections_than_allowed_at_once() -> None:
    async def run() -> None:
        script: Script = {"dot": Act(delay=0.01)}
        async with ScriptedRelay(script) as relay, relay_for(relay, max_connections=3) as ours:
            results = await asyncio.gather(*(ours.send(submission()) for _ in range(30)))
            assert all(outcomes(result) == ACCEPTED for result in results)
            assert relay.most_open == 3
            assert len(relay.sessions) == 3
            assert len(relay.messages) == 30

    aio.run(run())


def test_a_connection_ends_politely_after_its_share_of_messages() -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay, relay_for(relay, messages_per_connection=5) as ours:
            for _ in range(12):
                assert outcomes(await ours.send(submission())) == ACCEPTED
            assert [session.verbs().count("MAIL") for session in relay.sessions] == [5, 5, 2]
            assert [session.verbs()[-1] for session in relay.sessions[:2]] == ["QUIT", "QUIT"]

    aio.run(run())


def test_an_idle_connection_is_said_goodbye_to() -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay, relay_for(relay, idle_seconds=0.1) as ours:
            await asyncio.gather(*(ours.send(submission()) for _ in range(3)))
            await relay.deserted()
            assert [session.verbs()[-1] for session in relay.sessions] == ["QUIT"] * 3
            assert outcomes(await ours.send(submission())) == ACCEPTED

    aio.run(run())


def test_closing_says_goodbye_on_idle_connections_and_lets_the_others_finish() -> None:
    async def run() -> None:
        async with ScriptedRelay({"dot": [Act(), Act(delay=0.1)]}) as relay:
            ours = open_smtp_relay(settings(relay.port))
            assert outcomes(await ours.send(submission())) == ACCEPTED
            at_work = asyncio.create_task(ours.send(submission()))
            await relay.reached("dot", 2)
            await ours.close()
            assert outcomes(await at_work) == ACCEPTED
            await relay.deserted()
            assert relay.sessions[-1].verbs()[-1] == "QUIT"

    aio.run(run())


def test_a_relay_that_does_not_answer_quit_is_left_anyway() -> None:
    async def run() -> None:
        async with ScriptedRelay({"QUIT": hang()}) as relay:
            ours = open_smtp_relay(settings(relay.port, timeouts=replace(PATIENT, quit=0.05)))
            await ours.send(submission())
            await ours.close()
            await relay.deserted()

    aio.run(run())


# --------------------------------------------------------------------------------------------- free retries


@both_ways
@pytest.mark.parametrize(
    "fault",
    [
        *(close(), reset(), say("421 4.4.2 idle for too long", "close"), say("503 5.5.1 nested MAIL")),
        *(say("451 4.4.2 Timeout waiting for data from client.", "close"), say("450 4.7.0 too many on one connection")),
        *(say("550 5.5.0 you have been here for long enough"), say("554 5.7.1 no", "close")),
    ],
    ids=("EOF", "RST", "421", "503", "451", "450", "550", "554"),
)
def test_a_kept_connection_that_dies_before_mail_is_answered_costs_nothing(
    fault: Act, extensions: tuple[str, ...]
) -> None:
    async def run() -> None:
        async with ScriptedRelay({"MAIL": [Act(), fault]}, extensions=extensions) as relay, relay_for(relay) as ours:
            assert outcomes(await ours.send(submission())) == ACCEPTED
            assert outcomes(await ours.send(submission())) == ACCEPTED
            assert len(relay.sessions) == 2
            assert len(relay.messages) == 2

    aio.run(run())


@both_ways
def test_a_new_connection_that_dies_there_is_trouble(extensions: tuple[str, ...]) -> None:
    async def run() -> None:
        script: Script = {"MAIL": [Act(), close(), close()]}
        async with ScriptedRelay(script, extensions=extensions) as relay, relay_for(relay) as ours:
            assert outcomes(await ours.send(submission())) == ACCEPTED
            trouble = (await ours.send(submission())).trouble
            assert trouble is not None
            assert trouble.kind == "connection"
            assert len(relay.sessions) == 2

    aio.run(run())


def test_a_connection_that_was_closed_while_idle_is_not_used() -> None:
    async def run() -> None:
        async with ScriptedRelay({"dot": [say("250 ok and goodbye", "close")]}) as relay, relay_for(relay) as ours:
            assert outcomes(await ours.send(submission())) == ACCEPTED
            await relay.deserted()
            assert outcomes(await ours.send(submission())) == ACCEPTED
            assert [session.verbs().count("MAIL") for session in relay.sessions] == [1, 1]

    aio.run(run())


def test_a_relay_that_talks_unasked_is_not_listened_to_twice() -> None:
    """A second reply after the dot must not be taken for the answer to the next MAIL."""

    async def run() -> None:
        twice = Act(b"250 2.0.0 queued\r\n250 2.0.0 queued again\r\n")
        async with ScriptedRelay({"dot": [twice]}) as relay, relay_for(relay) as ours:
            assert outcomes(await ours.send(submission())) == ACCEPTED
            assert outcomes(await ours.send(submission(CAROL))) == {CAROL: ("accepted", 250)}
            assert len(relay.sessions) == 2

    aio.run(run())


def test_a_connection_that_said_421_is_not_used_again_even_if_it_stays_open() -> None:
    async def run() -> None:
        async with ScriptedRelay({"dot": [say("421 4.3.2 closing soon")]}) as relay, relay_for(relay) as ours:
            trouble = (await ours.send(submission())).trouble
            assert trouble is not None
            assert (trouble.kind, trouble.smtp_code) == ("connection", 421)
            assert outcomes(await ours.send(submission())) == ACCEPTED
            assert [session.verbs().count("MAIL") for session in relay.sessions] == [1, 1]

    aio.run(run())


@both_ways
def test_a_connection_whose_reset_is_refused_is_replaced(extensions: tuple[str, ...]) -> None:
    async def run() -> None:
        script: Script = {"DATA": [say("451 4.3.0 later")], "RSET": say("500 5.5.1 what?")}
        async with ScriptedRelay(script, extensions=extensions) as relay, relay_for(relay) as ours:
            assert outcomes(await ours.send(submission())) == {BOB: ("deferred", 451)}
            assert outcomes(await ours.send(submission())) == ACCEPTED
            assert len(relay.sessions) == 2

    aio.run(run())


def test_a_relay_that_was_restarted_is_found_again() -> None:
    async def run() -> None:
        first = ScriptedRelay()
        async with first:
            ours = open_smtp_relay(settings(first.port))
            await asyncio.gather(*(ours.send(submission()) for _ in range(4)))
        trouble = (await ours.send(submission())).trouble
        assert trouble is not None
        assert trouble.kind == "connection"
        async with ScriptedRelay(port=first.port) as again:
            assert outcomes(await ours.send(submission())) == ACCEPTED
            await ours.close()
            await again.deserted()

    aio.run(run())
