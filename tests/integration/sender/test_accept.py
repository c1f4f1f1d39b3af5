"""`POST /api/emails` as the gateway calls it: what is answered, what is stored, what is refused."""

import asyncio
import base64
import random
import string
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from deploy.local.servers import NatsAddress
from libs.common.errors import OutcomeUnknownError
from libs.common.facts.domain import DomainCreated, DomainDeleted
from libs.common.jetstream.bus import Bus, PubAck
from libs.common.jetstream.content import decode_content
from libs.common.jetstream.email_log import facts_of
from libs.common.jetstream.errors import PublishUnknownError
from libs.common.jetstream.streams import CONTENT, EVENTS
from services.sender.__main__ import open_sender
from services.sender.accept.log_space import LogSpace
from services.sender.settings import SenderSettings
from tests.support.asgi import Answer, App, ask, principal
from tests.support.sending import Sending, domain_state, names

KEY = b"k" * 32
SENDER = frozenset({"emails:send"})


@pytest.fixture
async def app(world: Sending, clean_nats: NatsAddress, tmp_path: Path) -> AsyncIterator[App]:
    key_file = tmp_path / "principal-key"
    key_file.write_text(base64.b64encode(KEY).decode())
    settings = SenderSettings(nats_url=clean_nats.url, principal_key_file=key_file, public_url="http://track.example/")
    async with open_sender(settings) as opened:
        async with asyncio.timeout(10):
            while (await ask(opened, "GET", "/readyz", key=KEY, principal=principal())).status != 200:
                await asyncio.sleep(0.02)
        yield opened


def email(**members: Any) -> dict[str, Any]:
    return {
        "from": "Acme <hello@p1.example>",
        "to": "ada@example.com",
        "subject": "Hello",
        "text": "Good morning.",
        **members,
    }


async def post(app: App, json: object = None, **other: Any) -> Answer:
    by = principal(scopes=other.pop("scopes", SENDER))
    target = other.pop("target", "/api/emails")
    return await ask(app, other.pop("method", "POST"), target, key=KEY, principal=by, json=json, **other)


async def test_an_accepted_email_is_in_the_log_with_its_bodies_beside_it(world: Sending, app: App) -> None:
    await world.provider(1, 25)
    html = '<html><body><a href="https://example.com/a?b=1&amp;c=2">x</a></body></html>'
    answer = await post(
        app,
        email(
            to=["Ada <ada@EXAMPLE.com>", "bob@example.com", "ada@example.com"],
            cc="bob@example.com",
            bcc=["eve@bücher.example"],
            reply_to="help@p1.example",
            html=html,
            headers={"X-Campaign": "spring"},
            tags=["welcome", {"name": "kind", "value": "first"}],
            metadata={"order": "7"},
            track_opens=True,
            track_clicks=True,
        ),
        headers={"x-request-id": "req-1"},
    )
    assert answer.status == 201, answer.body
    email_id = answer.json["id"]
    assert answer.json == {
        "id": email_id,
        "status": "queued",
        "provider_message_id": None,
        "provider_id": 1,
        "suppressed": [],
    }
    (fact,) = await facts_of(world.bus, UUID(email_id))
    assert answer.headers["temps-position"] == f"email={fact.sequence}"
    assert (fact.name, fact.correlationid) == ("email.accepted", "req-1")
    assert fact.actor is not None
    assert (fact.actor["id"], fact.actor["ip"]) == ("key:1", "203.0.113.7")
    data = fact.data
    assert [(each["address"], each["kind"]) for each in data["recipients"]] == [
        ("ada@example.com", "to"),
        ("bob@example.com", "to"),
        ("eve@xn--bcher-kva.example", "bcc"),
    ]
    assert (data["from_address"], data["from_name"]) == ("hello@p1.example", "Acme")
    assert data["links"] == ["https://example.com/a?b=1&c=2"]
    assert (data["pixel"], data["message_id"]) == (True, f"<{email_id}@p1.example>")
    assert data["tags"] == [{"name": "welcome", "value": None}, {"name": "kind", "value": "first"}]
    stored = await world.bus.direct_get(CONTENT, data["content"]["sequence"])
    assert stored is not None
    content = decode_content(stored.data)
    assert (content.html, content.text, content.headers) == (html, "Good morning.", {"X-Campaign": "spring"})
    assert f"http://track.example/api/emails/{email_id}/track/click/0" in (content.tracked_html or "")
    assert "Good morning" not in fact.encode().decode()


async def test_mail_from_nobodys_domain_is_captured(world: Sending, app: App) -> None:
    answer = await post(app, email())
    assert (answer.status, answer.json["status"], answer.json["provider_id"]) == (201, "captured", None)
    assert names(await world.facts(UUID(answer.json["id"]))) == ["captured"]
    suggestion = answer.json["suggestion"]
    assert suggestion.startswith("It is kept and delivered to nobody: no provider for ")
    assert "POST /api/email-domains" in suggestion


async def test_mail_from_an_unregistered_domain_goes_to_the_default(world: Sending, app: App) -> None:
    await world.provider(1, 25, is_default=True)
    answer = await post(app, email(**{"from": "x@other.example"}))
    assert answer.json["provider_id"] == 1
    (fact,) = await world.facts(UUID(answer.json["id"]))
    assert fact.data["route"] == {"reason": "default", "domain_id": None, "detail": None, "home_provider_id": None}


@pytest.mark.parametrize(
    ("changes", "status", "slug"),
    [({}, "pending", "domain_not_verified"), ({"is_active": False}, "verified", "provider_inactive")],
)
async def test_a_registered_domain_that_cannot_send_is_refused(
    world: Sending, app: App, changes: dict[str, Any], status: str, slug: str
) -> None:
    state = await world.provider(3, 25, **changes)
    await world.fact(DomainCreated(domain=domain_state(9, state.id, "odd.example", status=status)))
    answer = await post(app, email(**{"from": "x@odd.example"}))
    assert (answer.status, answer.json["error_code"]) == (409, slug.upper())
    assert answer.json["suggestion"]
    assert (await world.bus.stream_state(CONTENT)).messages == 0


SCALEWAY = {"provider_type": "scaleway", "smtp": None, "region": "fr-par"}


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"to": [f"r{number}@example.com" for number in range(11)]}, "to"),
        ({"subject": "Hi"}, "subject"),
        ({"text": "x" * 2_100_000}, None),
    ],
    ids=["recipients", "subject", "size"],
)
async def test_what_its_provider_would_refuse_is_refused_although_another_would_take_it(
    world: Sending, app: App, members: dict[str, Any], field: str | None
) -> None:
    await world.provider(2, 25)
    await world.provider(1, 25, **SCALEWAY, fallback_provider_ids=[2])
    body = email(**{"subject": "Hello everybody", "text": "Good morning to you.", **members})
    answer = await post(app, body)
    assert answer.status == 400, answer.json
    if field is not None:
        assert [error["field"] for error in answer.json["errors"]] == [field]
    assert (await world.bus.stream_state(CONTENT)).messages == 0


async def test_links_that_make_an_email_too_long_for_its_provider_are_noticed(world: Sending, app: App) -> None:
    await world.provider(1, 25, **SCALEWAY)
    html = "<p>Good morning.</p>" + '<a href="http://a.example/">x</a>' * 9_900 + "y" * 1_500_000
    body = email(subject="Hello everybody", text="Good morning to you.", html=html)
    answer = await post(app, {**body, "track_clicks": True})
    assert (answer.status, [error["field"] for error in answer.json["errors"]]) == (400, ["html"])
    assert (await post(app, body)).status == 201


async def test_mail_for_a_stopped_provider_is_accepted_for_its_fallback_and_says_why(world: Sending, app: App) -> None:
    await world.provider(2, 25)
    stopped = {"reason": "535 5.7.8 no", "at": "2026-01-01T00:00:00Z"}
    await world.provider(1, 25, name="Main", stopped=stopped, fallback_provider_ids=[2])
    answer = await post(app, email())
    assert (answer.status, answer.json["provider_id"]) == (201, 2)
    (fact,) = await world.facts(UUID(answer.json["id"]))
    assert fact.data["route"] == {
        "reason": "fallback",
        "domain_id": 1,
        "detail": "provider 1 (Main): stopped: 535 5.7.8 no",
        "home_provider_id": 1,
    }


async def test_a_negative_answer_waits_for_what_is_in_the_log_already(world: Sending, app: App) -> None:
    for number in range(1, 20):
        await world.provider(number, 25)
        answer = await post(app, email(**{"from": f"x@p{number}.example"}))
        assert answer.json["provider_id"] == number, "the view was behind and that was believed"


async def test_a_domain_registered_anew_outlives_its_first_registration(world: Sending, app: App) -> None:
    await world.provider(1, 25)
    await world.fact(DomainDeleted(domain=domain_state(1, 1, "p1.example")))
    await world.fact(DomainCreated(domain=domain_state(2, 1, "p1.example")))
    answer = await post(app, email())
    (fact,) = await world.facts(UUID(answer.json["id"]))
    assert fact.data["domain_id"] == 2


async def test_wrong_members_are_refused_by_name_and_nothing_is_stored(world: Sending, app: App) -> None:
    await world.provider(1, 25)
    answer = await post(app, email(to=["a@example.com", "b"], subject="a\nb"))
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert [each["field"] for each in answer.json["errors"]] == ["to.1", "subject"]
    too_many = '<a href="http://x.example">' * 10_001
    answer = await post(app, email(html=too_many, track_clicks=True))
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "html")
    assert (await world.bus.stream_state(CONTENT)).messages == 0


async def test_other_refusals_have_the_problem_form(app: App) -> None:
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"scopes": frozenset({"emails:read"})}, 403, "INSUFFICIENT_PERMISSION"),
        ({"headers": {"content-type": "text/plain"}}, 415, "UNSUPPORTED_MEDIA_TYPE"),
        ({"headers": {"Idempotency-Key": "once"}}, 400, "VALIDATION_FAILED"),
        ({"target": "/api/emails?dry_run=1"}, 400, "VALIDATION_FAILED"),
        ({"method": "PATCH"}, 405, "METHOD_NOT_ALLOWED"),
        ({"method": "DELETE"}, 405, "METHOD_NOT_ALLOWED"),
        ({"target": "/api/emails/batch"}, 404, "NOT_FOUND"),
        ({"target": "/api/emails/0190a000-0000-7000-8000-000000000000/cancel"}, 404, "NOT_FOUND"),
        ({"target": "/api/suppressions"}, 404, "NOT_FOUND"),
    ]
    for request, status, slug in cases:
        answer = await post(app, email(), **request)
        assert (answer.status, answer.json["error_code"]) == (status, slug), request
        assert answer.headers["content-type"] == "application/problem+json"
        assert status != 405 or answer.headers["allow"] == "POST"
    assert (await post(app, email(), headers={"Idempotency-Key": "x"})).json["errors"][0]["field"] == "Idempotency-Key"


async def test_a_body_over_twenty_megabytes_is_too_large(app: App) -> None:
    answer = await post(app, body=b" " * (20 * 2**20 + 1), headers={"content-type": "application/json"})
    assert (answer.status, answer.json["error_code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_the_largest_email_is_accepted_and_comes_back_whole(world: Sending, app: App) -> None:
    await world.provider(1, 25)
    noise = random.Random(1).choices(string.ascii_letters + string.digits, k=2**21)  # noqa: S311 - nothing secret
    links = "".join(f'<a href="https://example.com/{n}">{n}</a>' for n in range(8_000))
    html = links + "".join(noise[: 2**21 - len(links)])
    began = time.perf_counter()
    answer = await post(app, email(html=html, text="".join(noise), track_clicks=True, track_opens=True))
    assert answer.status == 201, answer.body[:300]
    assert time.perf_counter() - began < 5
    (fact,) = await world.facts(UUID(answer.json["id"]))
    stored = await world.bus.direct_get(CONTENT, fact.data["content"]["sequence"])
    assert stored is not None
    content = decode_content(stored.data)
    assert (content.html, content.text) == (html, "".join(noise))
    assert len(fact.data["links"]) == 8_000


async def test_nothing_is_accepted_while_the_log_is_nearly_full(world: Sending, app: App) -> None:
    await world.provider(1, 25)
    state = await world.bus.stream_state(EVENTS)
    config = (await world.bus.api(f"STREAM.INFO.{EVENTS}"))["config"]
    await world.bus.api(f"STREAM.UPDATE.{EVENTS}", {**config, "max_bytes": int(state.bytes / 0.95)})
    space = LogSpace(world.bus)
    await space.look()
    assert space.full_for_accepting()
    assert not space.full_for_sending()
    world.accept = replace(world.accept, log_is_full=space.full_for_accepting)
    with pytest.raises(Exception, match="90 %") as refused:
        await world.send()
    assert getattr(refused.value, "status", None) == 507


async def test_an_answer_that_never_comes_is_unknown_and_names_the_email(world: Sending) -> None:
    await world.provider(1, 25)
    world.accept = replace(world.accept, bus=DeafBus(world.bus))  # type: ignore[arg-type]  # a bus but for its ears
    with pytest.raises(OutcomeUnknownError) as unknown:
        await world.send()
    email_id = UUID(unknown.value.extra["email_id"])
    assert str(email_id) in (unknown.value.suggestion or "")
    assert names(await world.facts(email_id)) == ["accepted"]


class DeafBus:
    """A real bus that never hears the log's answers."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def publish(
        self,
        subject: str,
        payload: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 2.0,
    ) -> PubAck:
        answer = await self._bus.publish(subject, payload, headers=headers, timeout=timeout)
        if subject.startswith("mail."):
            raise PublishUnknownError("no answer in time")
        return answer
