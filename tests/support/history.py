"""Made-up lives of emails, as facts in the two streams of the log; the same seed gives the same facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid5

from libs.common.facts import Actor, Envelope, Fact, new_envelope, parse, timestamp, uuid7
from libs.common.jetstream.streams import EVENTS, TRACKING

BEGINNING = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)
_SPACE = UUID("6f2b1a52-6f0f-4a0b-9d3b-52c2d6f1d2aa")

TEST = Actor(id="test", kind="system")

HITS = frozenset({"email.opened.v1", "email.clicked.v1"})


@dataclass
class History:
    """Facts by stream, in the order of their sequences. Every fact is checked against its model."""

    mail: list[Envelope] = field(default_factory=list)
    hits: list[Envelope] = field(default_factory=list)

    def add(self, type_: str, email_id: UUID, at: datetime, *, by: Actor = TEST, **data: Any) -> Envelope:
        into, stream = (self.hits, TRACKING) if type_ in HITS else (self.mail, EVENTS)
        sequence = len(into) + 1
        milliseconds = int(at.timestamp() * 1000)
        fact = Envelope(
            id=str(uuid5(_SPACE, f"{milliseconds} {stream} {sequence}")),
            source="/services/test",
            type=type_,
            subject=f"email/{email_id}",
            time=timestamp(at),
            data={"email_id": str(email_id), **data},
            actor=by.model_dump(mode="json"),
            stream=stream,
            sequence=sequence,
        )
        model = parse(fact)
        assert model is not None
        fact = fact._replace(log_subject=model.log_subject())
        into.append(fact)
        return fact

    def note(self, fact: Fact, at: datetime, actor: Actor) -> Envelope:
        """A fact of anything else than an email, caused by `actor`."""
        sequence = len(self.mail) + 1
        fact_id = str(uuid5(_SPACE, f"{at.timestamp()} {EVENTS} {sequence}"))
        made = new_envelope(fact, source="test", actor=actor, at=at, fact_id=fact_id)
        made = made._replace(stream=EVENTS, sequence=sequence)
        self.mail.append(made)
        return made

    def again(self, fact: Envelope) -> None:
        """The same fact a second time, further along: published twice outside the window for duplicates."""
        into = self.hits if fact.stream == TRACKING else self.mail
        into.append(fact._replace(sequence=len(into) + 1))

    def all(self) -> list[Envelope]:
        return [*self.mail, *self.hits]


def new_id(number: int, at: datetime = BEGINNING) -> UUID:
    """A version 7 id that is the same at each run."""
    milliseconds = int(at.timestamp() * 1000)
    return UUID(int=(uuid7(milliseconds).int & ~((1 << 62) - 1)) & ~(0xFFF << 64) | number + 1)


def submitted(
    recipients: Sequence[str] = ("ann@example.org",),
    *,
    provider_id: int | None = 1,
    domain_id: int | None = 1,
    tags: Sequence[Mapping[str, Any]] = (),
    links: Sequence[str] = (),
    pixel: bool = False,
    subject: str = "Your order",
    from_address: str = "shop@example.com",
    content: Mapping[str, Any] | None = None,
    **other: Any,
) -> dict[str, Any]:
    """The data of `email.accepted` or `email.captured`."""
    return {
        "provider_id": provider_id,
        "domain_id": domain_id,
        "route": {"reason": "domain" if domain_id else "default", "domain_id": domain_id, "detail": None},
        "from_address": from_address,
        "from_name": "Shop",
        "recipients": [{"address": address, "name": None, "kind": "to"} for address in recipients],
        "reply_to": [],
        "subject": subject,
        "tags": list(tags),
        "metadata": {"order": "17"},
        "message_id": "<1@example.com>",
        "content": content or {"sequence": 1, "sha256": "0" * 64, "size": 10, "expires_at": None},
        "has_html": True,
        "has_text": True,
        "track_opens": pixel,
        "track_clicks": bool(links),
        "pixel": pixel,
        "links": list(links),
        "rewriter_version": 1,
        **other,
    }


def attempted(
    outcomes: Mapping[str, str], *, attempt: int = 1, provider_id: int | None = 1, **other: Any
) -> dict[str, Any]:
    """The data of what one attempt led to: address → outcome."""
    codes = {"accepted": 250, "deferred": 451, "bounced": 550, "failed": 554, "unknown": None}
    return {
        "attempt": attempt,
        "provider_id": provider_id,
        "recipients": [
            {
                "address": address,
                "outcome": outcome,
                "smtp_code": codes[outcome],
                "enhanced_status": None,
                "text": f"{outcome} at attempt {attempt}",
            }
            for address, outcome in outcomes.items()
        ],
        "next_at": None,
        "reason": None,
        "duration_ms": 3,
        **other,
    }


def hit(ip: str | None = "192.0.2.1", *, machine: bool = False, link: int | None = None) -> dict[str, Any]:
    """The data of `email.opened`, or of `email.clicked` with a link."""
    data = {
        "ip_address": ip,
        "user_agent": "a browser",
        "machine": machine,
        "machine_reason": "a named scanner" if machine else None,
    }
    return data if link is None else {**data, "link_index": link, "link_url": f"https://example.com/{link}"}


PEOPLE = ("ann@example.org", "bob@example.org", "Zoë@example.org")
TAGS = (
    {"name": "welcome", "value": None},
    {"name": "campaign", "value": "spring"},
    {"name": "campaign", "value": None},
)


def random_history(seed: int, *, emails: int = 5, facts: int = 60) -> History:
    """Facts in no sensible order at all: outcomes before their email, hits on nobody's, repeats and reroutes."""
    random = Random(seed)  # noqa: S311 - a test that can be repeated
    history = History()
    ids = [new_id(number) for number in range(emails)]
    people = {id: random.sample(PEOPLE, random.randint(1, len(PEOPLE))) for id in ids}
    unsent = list(ids)
    at = BEGINNING
    for _ in range(facts):
        at += timedelta(minutes=random.choice((0, 1, 7, 45, 600)), microseconds=random.randint(0, 999_999))
        known = history.all()
        if unsent and random.random() < 0.2:
            _submit(history, random, unsent.pop(random.randrange(len(unsent))), people, at)
        elif known and random.random() < 0.12:
            history.again(random.choice(known))
        else:
            _something(history, random, random.choice(ids), people, at)
    return history


def _submit(history: History, random: Random, id: UUID, people: Mapping[UUID, list[str]], at: datetime) -> None:
    captured = random.random() < 0.15
    data = submitted(
        people[id],
        provider_id=None if captured else random.choice((1, 2)),
        domain_id=random.choice((None, 1, 2)),
        tags=random.sample(TAGS, random.randint(0, len(TAGS))),
        links=["https://example.com/0", "https://example.com/1"] if random.random() < 0.6 else [],
        pixel=random.random() < 0.6,
    )
    history.add("email.captured.v1" if captured else "email.accepted.v1", id, at, **data)


def _something(history: History, random: Random, id: UUID, people: Mapping[UUID, list[str]], at: datetime) -> None:
    some = random.sample(people[id], random.randint(1, len(people[id])))
    kind = random.choice(("sent", "sent", "deferred", "unknown", "bounced", "failed", "delivered", "complained"))
    kind = random.choice((kind, kind, "opened", "clicked", "rerouted"))
    type_ = f"email.{kind}.v1"
    if kind == "opened":
        ip = random.choice(("192.0.2.1", "192.0.2.2", None))
        history.add(type_, id, at, **hit(ip, machine=random.random() < 0.3))
    elif kind == "clicked":
        history.add(type_, id, at, **hit("192.0.2.1", machine=random.random() < 0.3, link=random.choice((0, 1))))
    elif kind == "rerouted":
        route = {"reason": "fallback", "domain_id": None, "detail": None}
        history.add(type_, id, at, attempt=2, from_provider_id=1, provider_id=random.choice((1, 2, 3)), route=route)
    elif kind in ("delivered", "complained"):
        history.add(type_, id, at, provider_id=1, recipients=random.choice((some, [])), detail="a report")
    else:
        possible = {
            "sent": ("accepted", "accepted", "bounced", "deferred", "failed"),
            "deferred": ("deferred", "bounced"),
            "unknown": ("unknown",),
            "bounced": ("bounced", "failed"),
            "failed": ("failed",),
        }[kind]
        extra: dict[str, Any] = {"stage": "final_dot"} if kind == "unknown" else {}
        if kind == "sent":
            extra = {"captured": random.random() < 0.3, "provider_message_id": f"<{random.randint(1, 9)}@example.com>"}
        elif kind == "bounced":
            extra = {"origin": random.choice(("session", "report"))}
        outcomes = {address: random.choice(possible) for address in some}
        provider_id = random.choice((1, 1, 2, 3, None))
        history.add(
            type_, id, at, **attempted(outcomes, attempt=random.randint(1, 4), provider_id=provider_id, **extra)
        )
