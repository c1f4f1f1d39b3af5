"""Opens and clicks over HTTP, on a real log."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.local.servers import NatsAddress
from libs.common.facts import parse, uuid7
from libs.common.facts.email import EmailClicked, EmailOpened
from tests.integration.tracking.service import LINKS, Public, log_and_wire, tracking
from tests.support.aio import run

SLACK = "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"


def with_service(nats: NatsAddress, directory: Path, scenario: Any, **settings: Any) -> None:
    async def main() -> None:
        async with log_and_wire(nats) as (bus, wire), tracking(bus, wire, directory, **settings) as public:
            await scenario(public)

    run(main())


def test_the_pixel_is_answered_and_recorded_with_who_and_when(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(public: Public) -> None:
        email_id = await public.accepted()
        answer = await public.open(email_id, user_agent="Mail/1.0")
        assert (answer.status, len(answer.body), answer.body[:6]) == (200, 43, b"GIF89a")
        assert answer.headers["content-type"] == "image/gif"
        assert answer.headers["cache-control"] == "no-store, no-cache, must-revalidate, private"
        (envelope,) = await public.recorded(1)
        fact = parse(envelope)
        assert isinstance(fact, EmailOpened)
        assert (fact.email_id, fact.ip_address, fact.user_agent) == (email_id, "203.0.113.7", "Mail/1.0")
        assert (fact.machine, fact.machine_reason) == (False, None)
        assert envelope.log_subject == f"track.{str(email_id)[-2:]}.opened"
        assert envelope.correlationid == answer.headers["x-request-id"]

    with_service(clean_nats, tmp_path, scenario)


def test_a_link_leads_where_it_led_and_is_recorded_as_it_was(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(public: Public) -> None:
        email_id = await public.accepted()
        answer = await public.click(email_id, 1)
        assert answer.status == 302
        assert answer.headers["location"] == "https://xn--bcher-kva.example/zwei%20drei"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        (envelope,) = await public.recorded(1)
        fact = parse(envelope)
        assert isinstance(fact, EmailClicked)
        assert (fact.link_index, fact.link_url) == (1, LINKS[1])

    with_service(clean_nats, tmp_path, scenario)


def test_captured_mail_is_tracked_like_any_other(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(public: Public) -> None:
        email_id = await public.accepted(captured=True)
        await public.open(email_id)
        assert (await public.click(email_id, 0)).headers["location"] == LINKS[0]
        assert {fact.name for fact in await public.recorded(2)} == {"email.opened", "email.clicked"}

    with_service(clean_nats, tmp_path, scenario)


def test_the_pixel_is_answered_whatever_the_id_and_nothing_is_recorded(
    clean_nats: NatsAddress, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async def scenario(public: Public) -> None:
        known = await public.accepted()
        untracked = await public.accepted(pixel=False, track_opens=False)
        for id in (uuid7(), uuid4(), "nonsense", "1", "%00", untracked, str(known)[:-1], f"{{{known}}}"):
            with subtests.test(str(id)):
                answer = await public.open(id)
                assert (answer.status, len(answer.body)) == (200, 43)
        assert (await public.open(known, "HEAD")).status == 200
        await public.open(str(known).upper())
        (only,) = await public.recorded(1)
        assert only.subject == f"email/{known}"

    with_service(clean_nats, tmp_path, scenario)


def test_links_that_lead_nowhere_are_small_plain_pages(
    clean_nats: NatsAddress, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    async def scenario(public: Public) -> None:
        known = await public.accepted(links=["https://example.com", "javascript:alert(1)"])
        untracked = await public.accepted(links=[], track_clicks=False)
        for id, n, status in (
            ("nonsense", "0", 400),
            (str(known) + "0", "0", 400),
            (uuid7(), "0", 404),
            (uuid4(), "0", 404),
            (known, "2", 404),
            (known, "-1", 404),
            (known, "01", 404),
            (known, "one", 404),
            (known, "9" * 30, 404),
            (known, "1", 404),
            (untracked, "0", 404),
        ):
            with subtests.test(f"{id} {n}"):
                answer = await public.click(id, n)
                assert (answer.status, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
                assert "location" not in answer.headers
                assert len(answer.body) < 1_000
        head = await public.click(known, 0, "HEAD")
        assert (head.status, head.headers["location"]) == (302, "https://example.com")
        await public.open(known)
        (only,) = await public.recorded(1)
        assert only.name == "email.opened", "HEAD and wrong links left nothing"

    with_service(clean_nats, tmp_path, scenario)


def test_machines_are_recorded_as_machines_but_never_on_this_machine(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(public: Public) -> None:
        email_id = await public.accepted()
        await public.open(email_id, user_agent=SLACK)
        await public.open(email_id, user_agent=SLACK, ip="127.0.0.1")
        await public.open(email_id, user_agent="x (via ggpht.com GoogleImageProxy)")
        seen = [(fact.data["machine"], fact.data["machine_reason"]) for fact in await public.recorded(3)]
        assert set(seen) == {(False, None), (False, "gmail_proxy"), (True, "link_preview")}

    with_service(clean_nats, tmp_path, scenario)


@pytest.mark.parametrize(("mode", "kept"), [("truncated", "203.0.113.0"), ("none", None)])
def test_addresses_are_kept_as_the_operator_wants(
    clean_nats: NatsAddress, tmp_path: Path, mode: str, kept: str | None
) -> None:
    async def scenario(public: Public) -> None:
        await public.open(await public.accepted(), user_agent=SLACK)
        (fact,) = await public.recorded(1)
        assert fact.data["ip_address"] == kept
        assert fact.data["machine"], "told by the whole address and name, before shortening"
        assert b"203.0.113.7" not in fact.encode()

    with_service(clean_nats, tmp_path, scenario, ip_mode=mode)


def test_a_visitor_beyond_the_limit_is_counted_and_answered_and_loopback_has_none(
    clean_nats: NatsAddress, tmp_path: Path
) -> None:
    async def scenario(public: Public) -> None:
        emails = [await public.accepted() for _ in range(3)]
        limited = await public.metric("open", "limited")
        for number in range(1_400):
            assert (await public.open(emails[number % 3])).status == 200
        over = await public.metric("open", "limited") - limited
        assert over > 0
        for number in range(1_200):
            await public.open(emails[number % 3], ip="127.0.0.1")
        assert await public.metric("open", "limited") - limited == over
        await public.recorded(1_400 - int(over) + 1_200)

    with_service(clean_nats, tmp_path, scenario)


def test_an_email_has_a_thousand_recorded_hits(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(public: Public) -> None:
        email_id = await public.accepted()
        before = await public.metric("open", "limited")
        for _ in range(1_050):
            await public.open(email_id, ip="127.0.0.1")
        await public.recorded(1_000)
        async with asyncio.timeout(5):
            while await public.metric("open", "limited") - before < 50:
                await asyncio.sleep(0.01)

    with_service(clean_nats, tmp_path, scenario)


def test_other_methods_and_paths_are_problem_documents(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def scenario(public: Public) -> None:
        email_id = await public.accepted()
        post = await public("POST", f"/api/emails/{email_id}/track/open")
        assert (post.status, post.headers["content-type"]) == (405, "application/problem+json")
        assert "GET" in post.headers["allow"]
        assert (await public("GET", f"/api/emails/{email_id}/track/other")).status == 404

    with_service(clean_nats, tmp_path, scenario)
