"""NATS comes and goes; whoever opens an email or follows a link does not notice, and nothing is lost."""

import asyncio
from pathlib import Path

from deploy.local.servers import NatsAddress
from libs.common.facts import uuid7
from libs.common.jetstream.streams import TRACKING
from tests.integration.tracking.service import LINKS, away, back, log_and_wire, tracking
from tests.support.aio import run


def test_hits_while_nats_is_away_are_answered_and_come_later_in_order(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with log_and_wire(clean_nats) as (bus, wire), tracking(bus, wire, tmp_path) as public:
            known, never_seen = await public.accepted(), await public.accepted()
            assert (await public.click(known, 0)).status == 302
            await public.recorded(1)
            await away(public, wire)
            for n in range(200):
                assert (await public.open(known, user_agent=f"agent {n}")).status == 200
            assert (await public.click(known, 2)).headers["location"] == LINKS[2], "remembered"
            unknown_now = await public.click(never_seen, 0)
            assert (unknown_now.status, unknown_now.headers["retry-after"]) == (503, "2")
            assert (await public.open(never_seen)).status == 200
            assert (await public.open(uuid7())).status == 200
            assert list((tmp_path / "spool").glob("*.spool")) != []
            await back(public, wire)
            facts = await public.recorded(1 + 200 + 1 + 1)
            agents = [fact.data["user_agent"] for fact in facts[1:201]]
            assert agents == [f"agent {n}" for n in range(200)]
            assert facts[201].data["link_url"] == LINKS[2]
            assert facts[202].subject == f"email/{never_seen}", "the unknown one is dropped"
            assert (await public.click(never_seen, 0)).status == 302
            async with asyncio.timeout(5):
                while list((tmp_path / "spool").glob("*.spool")):
                    await asyncio.sleep(0.01)

    run(main())


def test_a_restart_finds_what_was_spooled(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with log_and_wire(clean_nats) as (bus, wire):
            async with tracking(bus, None, tmp_path) as public:
                known = await public.accepted()
                assert (await public("GET", "/readyz")).status == 503, "it never was ready"
                for n in range(50):
                    assert (await public.open(known, user_agent=f"agent {n}")).status == 200
            async with tracking(bus, wire, tmp_path) as public:
                facts = await public.recorded(50)
                assert [fact.data["user_agent"] for fact in facts] == [f"agent {n}" for n in range(50)]

    run(main())


def test_a_lost_answer_leads_to_no_second_fact(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with log_and_wire(clean_nats) as (bus, wire), tracking(bus, wire, tmp_path) as public:
            known = await public.accepted()
            await public.click(known, 0)
            await public.recorded(1)
            wire.deaf = True
            for _ in range(20):
                await public.open(known)
            # The server has them all, and the service does not know it.
            async with asyncio.timeout(5):
                while (await bus.stream_state(TRACKING)).messages < 21:
                    await asyncio.sleep(0.01)
            wire.deaf = False
            await away(public, wire)
            assert list((tmp_path / "spool").glob("*.spool")) != []
            await back(public, wire)
            async with asyncio.timeout(10):
                while list((tmp_path / "spool").glob("*.spool")):
                    await asyncio.sleep(0.01)
            facts = await public.recorded(21)
            assert len({fact.id for fact in facts}) == 21

    run(main())


def test_closing_publishes_or_spools_everything_in_hand(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with log_and_wire(clean_nats) as (bus, wire):
            async with tracking(bus, wire, tmp_path) as public:
                emails = [await public.accepted() for _ in range(5)]
                for n in range(2_000):
                    await public.open(emails[n % 5], ip="127.0.0.1")
            async with tracking(bus, wire, tmp_path) as public:
                facts = await public.recorded(2_000)
                assert len({fact.id for fact in facts}) == 2_000

    run(main())


def test_a_frozen_nats_holds_up_no_answer(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with log_and_wire(clean_nats) as (bus, wire):
            async with tracking(bus, wire, tmp_path) as public:
                known, never_seen = await public.accepted(), await public.accepted()
                await public.click(known, 0)
                await public.recorded(1)
                wire.deaf = True
                loop = asyncio.get_running_loop()
                for _ in range(300):
                    begun = loop.time()
                    assert (await public.open(known)).status == 200
                    assert (await public.click(known, 0)).status == 302
                    assert loop.time() - begun < 0.5
                begun = loop.time()
                assert (await public.click(never_seen, 0)).status == 503
                assert loop.time() - begun < 3
            wire.deaf = False
            async with tracking(bus, wire, tmp_path) as public:
                facts = await public.recorded(601)
                assert len({fact.id for fact in facts}) == 601

    run(main())
