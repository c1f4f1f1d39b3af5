"""What a lookup of emails remembers is bounded by its weight: an email may have thousands of links."""

from datetime import UTC, datetime
from uuid import UUID

from deploy.local.servers import NatsAddress
from libs.common.facts import new_envelope, uuid7
from libs.common.facts.email import ContentRef, EmailCaptured, Recipient, Route
from libs.common.jetstream.append import append
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.email_log import AcceptedLookup
from tests.integration.common.log import ACTOR, wired_bus
from tests.support.aio import run


async def captured(bus: Bus, *, links: int) -> UUID:
    email_id = uuid7()
    fact = EmailCaptured(
        email_id=email_id,
        provider_id=None,
        domain_id=None,
        route=Route(reason="none"),
        from_address="hello@shop.example",
        from_name=None,
        recipients=[Recipient(address="ada@example.com", kind="to")],
        reply_to=[],
        subject="Hello",
        tags=[],
        metadata={},
        message_id=f"<{email_id}@shop.example>",
        content=ContentRef(sequence=1, sha256="0" * 64, size=1, expires_at=None),
        has_html=True,
        has_text=False,
        track_opens=False,
        track_clicks=True,
        pixel=False,
        links=[f"https://shop.example/{number}" for number in range(links)],
        rewriter_version=1,
    )
    await append(bus, new_envelope(fact, source="test", actor=ACTOR, at=datetime.now(UTC)))
    return email_id


def test_heavy_emails_make_room_for_the_newest(clean_nats: NatsAddress) -> None:
    async def main() -> None:
        async with wired_bus(clean_nats) as (bus, _):
            lookup = AcceptedLookup(bus, hit_bytes=60_000)
            light = [await captured(bus, links=1) for _ in range(3)]
            for each in light:
                assert await lookup.get(each) is not None
            assert all(lookup.cached(each) for each in light)
            heavy = await captured(bus, links=2_000)
            assert await lookup.get(heavy) is not None
            assert lookup.cached(heavy) is not None
            assert not any(lookup.cached(each) for each in light)
            assert await lookup.get(light[0]) is not None
            assert lookup.cached(heavy) is None

    run(main())
