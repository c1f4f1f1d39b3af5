"""Sends that end early: lost leases, cancellation, and nothing left behind by either."""

import asyncio

import pytest

from tests.integration.relay.common import (
    BOB,
    BOTH_WAYS,
    outcomes,
    relay_for,
    submission,
)
from tests.support import aio
from tests.support.relay import Act, Script, ScriptedRelay, hang, say

both_ways = pytest.mark.parametrize("extensions", BOTH_WAYS, ids=("group", "one by one"))
ACCEPTED = {BOB: ("accepted", 250)}


@both_ways
def test_a_lost_lease_drops_the_connection_before_the_dot(extensions: tuple[str, ...]) -> None:
    async def lost() -> bool:
        return False

    async def run() -> None:
        async with ScriptedRelay(extensions=extensions) as relay, relay_for(relay) as ours:
            result = await ours.send(submission(), before_dot=lost)
            assert result.abandoned
            await relay.deserted()
            assert relay.messages == []
            assert outcomes(await ours.send(submission())) == ACCEPTED
            assert len(relay.sessions) == 2

    aio.run(run())


@both_ways
def test_the_lease_is_asked_for_when_all_but_the_dot_is_out(extensions: tuple[str, ...]) -> None:
    async def run() -> None:
        async with ScriptedRelay({"content": Act(b"")}, extensions=extensions) as relay, relay_for(relay) as ours:
            asked = 0

            async def held() -> bool:
                nonlocal asked
                asked += 1
                await relay.reached("content")
                assert relay.messages == []
                return True

            assert outcomes(await ours.send(submission(), before_dot=held)) == ACCEPTED
            assert asked == 1

    aio.run(run())


def test_no_lease_is_asked_for_when_nobody_was_accepted() -> None:
    async def never() -> bool:
        raise AssertionError("nothing is about to be sent")

    async def run() -> None:
        async with ScriptedRelay({"RCPT": say("550 5.1.1 unknown")}) as relay, relay_for(relay) as ours:
            result = await ours.send(submission(), before_dot=never)
            assert outcomes(result) == {BOB: ("bounced", 550)}

    aio.run(run())


def test_what_the_lease_raises_comes_out_and_nothing_is_sent() -> None:
    async def broken() -> bool:
        raise LookupError("no lease to be found")

    async def run() -> None:
        async with ScriptedRelay() as relay, relay_for(relay) as ours:
            with pytest.raises(LookupError):
                await ours.send(submission(), before_dot=broken)
            await relay.deserted()
            assert relay.messages == []

    aio.run(run())


@both_ways
@pytest.mark.parametrize("stage", ["connect", "EHLO", "MAIL", "RCPT", "DATA", "dot"])
def test_a_cancelled_send_leaves_no_connection_and_no_slot_behind(stage: str, extensions: tuple[str, ...]) -> None:
    async def run() -> None:
        async with (
            ScriptedRelay({stage: [hang()]}, extensions=extensions) as relay,
            relay_for(relay, max_connections=1) as ours,
        ):
            sending = asyncio.create_task(ours.send(submission()))
            await relay.reached(stage)
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            await relay.deserted()
            assert outcomes(await ours.send(submission())) == ACCEPTED
            assert len(relay.sessions) == 2

    aio.run(run())


def test_a_cancelled_wait_for_a_connection_gives_its_place_up() -> None:
    async def run() -> None:
        async with ScriptedRelay({"dot": [Act(delay=0.1)]}) as relay, relay_for(relay, max_connections=1) as ours:
            first = asyncio.create_task(ours.send(submission()))
            await relay.reached("dot")
            waiting = [asyncio.create_task(ours.send(submission())) for _ in range(5)]
            await asyncio.sleep(0)
            for task in waiting[:4]:
                task.cancel()
            assert outcomes(await first) == ACCEPTED
            assert outcomes(await waiting[4]) == ACCEPTED
            await asyncio.gather(*waiting, return_exceptions=True)
            assert len(relay.messages) == 2

    aio.run(run())


def test_trouble_gives_its_place_back() -> None:
    async def run() -> None:
        script: Script = {"connect": [say("421 busy", "close")] * 5}
        async with ScriptedRelay(script) as relay, relay_for(relay, max_connections=1) as ours:
            for _ in range(5):
                assert (await ours.send(submission())).trouble is not None
            assert outcomes(await ours.send(submission())) == ACCEPTED

    aio.run(run())
