"""What the read models should say, worked out the slow way: all facts of one email at once, no order, no counters."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from libs.common.facts import Envelope
from tests.support.history import History

_WINS = ("bounced", "delivered", "sent", "captured", "failed", "queued")
"""The first of these that ever happened to a recipient stands."""

_EMAIL = ("queued", "failed", "bounced", "sent", "delivered", "captured")
_TIERS = ("all", "day", "hour")


@dataclass
class Expected:
    statuses: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    recipients: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    status_counts: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    figures: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    hits: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    events: list[tuple[Any, ...]] = field(default_factory=list)
    event_counts: Counter[tuple[Any, ...]] = field(default_factory=Counter)


def expected(history: History) -> Expected:
    said = Expected()
    of_email: dict[str, list[Envelope]] = defaultdict(list)
    for fact in history.all():
        of_email[fact.data["email_id"]].append(fact)
    for email_id, facts in of_email.items():
        if any(fact.type in ("email.accepted.v1", "email.captured.v1") for fact in facts):
            _email(said, email_id, facts)
    said.events.sort()
    return said


def _email(said: Expected, email_id: str, facts: list[Envelope]) -> None:
    born = next(fact for fact in facts if fact.type in ("email.accepted.v1", "email.captured.v1"))
    people = [person["address"] for person in born.data["recipients"]]
    happened: dict[str, list[tuple[str, int, str | None]]] = {address: [] for address in people}
    for address in people:
        happened[address].append(("captured" if born.type == "email.captured.v1" else "queued", 0, None))
    for fact in facts:
        for address, status, detail in _outcomes(fact):
            if address in happened:
                happened[address].append((status, fact.sequence, detail))
    for address, states in happened.items():
        status = min((state[0] for state in states), key=_WINS.index)
        said.recipients[email_id, address] = (status, max((s for s in states if s[0] == status), key=lambda s: s[1])[2])
    status = next(name for name in _EMAIL if any(said.recipients[email_id, address][0] == name for address in people))
    moves = [fact for fact in facts if fact.type == "email.rerouted.v1" or _settled(fact)]
    last = max(moves, key=lambda fact: fact.sequence) if moves else born
    provider = last.data["provider_id"]
    attempts = [fact.data["attempt"] for fact in facts if "recipients" in fact.data and "attempt" in fact.data]
    said.statuses[email_id] = (
        status,
        provider,
        max(attempts, default=0),
        any(fact.type == "email.sent.v1" for fact in facts),
        any(fact.type == "email.delivered.v1" for fact in facts),
    )
    tags = {f"{t['name']}:{t['value']}" if t["value"] else t["name"] for t in born.data["tags"]}
    places = [(tier, born.data["domain_id"] or 0, provider or 0, tag) for tier in _TIERS for tag in ("", *tags)]
    for place in places:
        said.status_counts[(*place, status)] += 1
        for name in _meanings(facts, born):
            said.figures[(*place, name)] += 1
    _came_back(said, email_id, facts, people, provider, places)


def _came_back(
    said: Expected,
    email_id: str,
    facts: list[Envelope],
    people: list[str],
    provider: int | None,
    places: list[tuple[Any, ...]],
) -> None:
    once = {fact.id: fact for fact in facts}.values()
    hits = [fact for fact in once if fact.type in ("email.opened.v1", "email.clicked.v1")]
    if hits:
        of = Counter((fact.type, fact.data["machine"]) for fact in hits)
        said.hits[email_id] = (
            of["email.opened.v1", False],
            of["email.opened.v1", True],
            of["email.clicked.v1", False],
            of["email.clicked.v1", True],
        )
    only = people[0] if len(people) == 1 else ""
    happened = [("open" if fact.type == "email.opened.v1" else "click", only) for fact in hits]
    for fact in once:
        if fact.type in ("email.delivered.v1", "email.complained.v1"):
            name = "delivery" if fact.type == "email.delivered.v1" else "complaint"
            happened += [(name, address) for address in fact.data["recipients"] or [""]]
        elif "attempt" in fact.data and "recipients" in fact.data:
            happened += [("bounce", one["address"]) for one in fact.data["recipients"] if one["outcome"] == "bounced"]
    for name, address in happened:
        said.events.append((email_id, name, address, provider or 0))
        for place in places:
            said.event_counts[(*place, name)] += 1


def _meanings(facts: list[Envelope], born: Envelope) -> list[str]:
    outcomes = {said["outcome"] for fact in facts for said in fact.data.get("recipients", ()) if "outcome" in said}
    kinds = {(fact.type, fact.data.get("machine")) for fact in facts}
    names = {name for name, _ in kinds}
    bounced = "bounced" in outcomes
    delivered = not bounced and ("accepted" in outcomes or "email.delivered.v1" in names)
    meanings = {
        "delivered": delivered,
        "delivered_with_pixel": delivered and born.data["pixel"],
        "delivered_with_links": delivered and bool(born.data["links"]),
        "opened": ("email.opened.v1", False) in kinds,
        "opened_by_any": "email.opened.v1" in names,
        "clicked": ("email.clicked.v1", False) in kinds,
        "clicked_by_any": "email.clicked.v1" in names,
        "bounced": bounced,
        "complained": "email.complained.v1" in names,
    }
    return [name for name, holds in meanings.items() if holds]


def _settled(fact: Envelope) -> bool:
    """Whether an attempt's provider had the last word about somebody; a report comes later and is about the past."""
    data = fact.data
    if "attempt" not in data or "recipients" not in data or data["provider_id"] is None:
        return False
    last = {"accepted", "bounced", "failed"} & {said["outcome"] for said in data["recipients"]}
    return bool(last) and data.get("origin") != "report"


def _outcomes(fact: Envelope) -> list[tuple[str, str, str | None]]:
    """(address, status, detail) of each recipient that the fact is about."""
    data = fact.data
    if fact.type == "email.delivered.v1":
        return [(address, "delivered", data["detail"]) for address in data["recipients"]]
    if "attempt" not in data or "recipients" not in data:
        return []
    taken = "captured" if data.get("captured") else "sent"
    status = {"accepted": taken, "deferred": "queued", "unknown": "queued", "bounced": "bounced", "failed": "failed"}
    return [(one["address"], status[one["outcome"]], one["text"]) for one in data["recipients"]]
