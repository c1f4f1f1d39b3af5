"""Appending: a lost answer is unknown, and repeating it stores nothing twice."""

import asyncio
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from libs.common.errors import ConflictError, LogFullError, OutcomeUnknownError, UnavailableError
from libs.common.facts import Envelope, uuid7
from libs.common.jetstream.append import Expected, append, append_to_set, publish_durably
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import WrongSequenceError
from libs.common.jetstream.streams import CONTENT, EVENTS
from libs.common.jetstream.views import View
from tests.integration.common.log import deferred, key_created, wired_bus
from tests.support.aio import run


async def messages(bus: Bus, stream: str = EVENTS) -> int:
    return (await bus.stream_state(stream)).messages


def test_a_fact_is_appended_and_knows_its_place(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            stored = await append(bus, deferred(uuid7()))
            found = await bus.direct_get(EVENTS, stored.sequence)
            assert found is not None
            assert found.data == stored.encode()
            assert (stored.stream, found.headers["Nats-Msg-Id"]) == (EVENTS, stored.id)

    run(main())


def test_the_same_fact_twice_is_stored_once(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            fact = deferred(uuid7())
            first, second = await append(bus, fact), await append(bus, fact)
            assert (first.sequence, await messages(bus)) == (second.sequence, 1)

    run(main())


def test_a_lost_answer_is_asked_for_again_and_stored_once(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, wire):
            wire.deaf = True
            appending = asyncio.create_task(append(bus, deferred(uuid7())))
            async with asyncio.timeout(5):
                while bus._client.stats["out_msgs"] < 1 or not bus._waiting:
                    await asyncio.sleep(0)
            wire.deaf = False
            wire.cut()
            stored = await appending
            assert (stored.sequence, await messages(bus)) == (1, 1)

    run(main())


def test_a_lost_answer_under_an_expectation_is_recognised_as_ours(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, wire):
            fact = key_created(1)
            wire.deaf = True
            appending = asyncio.create_task(append(bus, fact, expected=Expected(0, "mail.key.*")))
            async with asyncio.timeout(5):
                while not bus._waiting:
                    await asyncio.sleep(0)
            # The server has it once a second connection can read it.
            other = Bus(clean_nats.url, name="other")
            await other.start()
            await other.wait_connected(5)
            async with asyncio.timeout(5):
                while await other.direct_last(EVENTS, "mail.key.*") is None:
                    await asyncio.sleep(0.01)
            await other.close()
            wire.deaf = False
            wire.cut()
            assert (await appending).sequence == 1
            assert await messages(bus) == 1

    run(main())


def test_an_answer_that_never_comes_is_unknown_and_not_failed(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, wire):
            wire.deaf = True
            with pytest.raises(OutcomeUnknownError):
                await append(bus, deferred(uuid7()), patience=0.4)
            wire.deaf = False

    run(main())


def test_without_a_connection_nothing_was_stored_and_that_is_said(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, wire):
            wire.refusing = True
            wire.cut()
            async with asyncio.timeout(5):
                while bus.connected:
                    await asyncio.sleep(0)
            with pytest.raises(UnavailableError):
                await append(bus, deferred(uuid7()), patience=0.2)
            wire.refusing = False
            assert await bus.wait_connected(5)
            assert await messages(bus) == 0

    run(main())


def test_a_wrong_expectation_is_refused_with_the_present_sequence(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            await append(bus, key_created(1))
            with pytest.raises(WrongSequenceError) as raised:
                await append(bus, key_created(2), expected=Expected(0, "mail.key.*"))
            assert (raised.value.last, await messages(bus)) == (1, 1)

    run(main())


def test_a_full_stream_is_said_and_not_retried(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):

            async def fill() -> None:
                for number in range(20):
                    await publish_durably(bus, "content.00", b"x" * 7_000_000, msg_id=str(number))

            with pytest.raises(LogFullError):
                await fill()
            state = await bus.stream_state(CONTENT)
            assert 0 < state.bytes <= state.max_bytes

    run(main())


def follow_keys(bus: Bus) -> tuple[View, dict[str, Envelope]]:
    known: dict[str, Envelope] = {}

    def apply(envelope: Envelope) -> None:
        known[envelope.subject] = envelope

    return View(bus, set_name="key", apply=apply, reset=known.clear), known


def test_parallel_creators_get_different_ids_without_holes(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            view, known = follow_keys(bus)
            task = asyncio.create_task(view.run())
            await asyncio.wait_for(view.caught_up.wait(), 5)
            await asyncio.gather(*[append_to_set(bus, view, lambda: key_created(len(known) + 1)) for _ in range(20)])
            assert sorted(known) == sorted(f"key/{number}" for number in range(1, 21))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


def test_a_refusal_of_the_decision_reaches_the_caller_and_stores_nothing(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            view, known = follow_keys(bus)
            task = asyncio.create_task(view.run())
            await asyncio.wait_for(view.caught_up.wait(), 5)

            def decide() -> Any:
                if known:
                    raise ConflictError("there is one already")
                return key_created(1)

            answers = await asyncio.gather(
                *[append_to_set(bus, view, decide) for _ in range(5)], return_exceptions=True
            )
            assert sum(isinstance(answer, ConflictError) for answer in answers) == 4
            assert await messages(bus) == 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    run(main())


class StandingView:
    """A view of the keys that sees nothing of what is appended."""

    set_name, subject, position = "key", "mail.key.*", 0

    async def refresh(self) -> bool:
        return False

    async def wait_for(self, sequence: int) -> bool:
        return self.position >= sequence


def test_what_is_stored_and_not_seen_here_yet_is_not_said_to_be_undone(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            with pytest.raises(OutcomeUnknownError):
                await append_to_set(bus, StandingView(), lambda: key_created(1))
            assert await messages(bus) == 1

    run(main())
