"""A domain's provider dies under load: mail goes through its fallback, comes back, and every email says why."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.client import Api, until
from tests.e2e.load import Load
from tests.support.switched_relay import SwitchedRelay, switched_relay

RATE = 30.0
WITHIN_SECONDS = 5.0


@dataclass(frozen=True)
class Pair:
    """A domain whose mail goes to `first`, or else to `second`."""

    first: SwitchedRelay
    second: SwitchedRelay
    first_id: int
    second_id: int
    domain: str

    @property
    def taken(self) -> Counter[str]:
        return self.first.taken + self.second.taken


@pytest.fixture
def pair(api: Api) -> Iterator[Pair]:
    domain = f"failover-{uuid4().hex[:8]}.example"
    default = next((each["id"] for each in api.get("/api/email-providers") if each["is_default"]), None)
    with switched_relay() as first, switched_relay() as second:
        second_id = _provider(api, second, name="Standby")
        first_id = _provider(api, first, name="Main relay", fallback_provider_ids=[second_id])
        api.post("/api/email-domains", {"provider_id": first_id, "domain": domain})
        yield Pair(first, second, first_id, second_id, domain)
        for identifier in (first_id, second_id):
            assert api.request("DELETE", f"/api/email-providers/{identifier}?force=true").status == 204
    if default is not None:
        assert api.request("PATCH", f"/api/email-providers/{default}", {"is_default": True}).status == 200


def _provider(api: Api, relay: SwitchedRelay, **settings: Any) -> int:
    body = {
        "provider_type": "smtp",
        "smtp_credentials": {"host": "127.0.0.1", "port": relay.port, "encryption": "none"},
        **settings,
    }
    identifier: int = api.post("/api/email-providers", body)["id"]
    return identifier


@pytest.mark.timeout(180)
@pytest.mark.slow
def test_a_dead_provider_under_load_is_stood_in_for_and_gets_its_mail_back(api: Api, pair: Pair) -> None:
    with Load(api, rate=RATE, most=3_000, sender=f"load@{pair.domain}") as load:
        load.wait_accepted(30)
        before = set(load.accepted)
        _all_taken(pair, before)
        assert not pair.second.taken, "the first provider is well"

        pair.first.off()
        died = time.monotonic()
        until(
            pair.second.count,
            lambda count: count > 0,
            seconds=WITHIN_SECONDS,
            what="through the second",
        )
        took_over = time.monotonic() - died
        load.wait_accepted(150)
        during = set(load.accepted)
        _all_taken(pair, during, seconds=WITHIN_SECONDS)

        count = pair.first.count()
        pair.first.on()
        healed = time.monotonic()
        until(pair.first.count, lambda now: now > count + 10, seconds=40, what="back at the first")
        came_back = time.monotonic() - healed
        seen = pair.second.count()
        load.wait_accepted(60)
    _all_taken(pair, set(load.accepted))
    assert pair.second.count() <= seen + RATE, "nothing goes to the second any more"
    assert load.refused == Counter()
    assert max(pair.taken.values()) == 1, "nothing was sent twice"
    print(  # noqa: T201 - the figures, with pytest -s
        f"\ntook over after {took_over:.2f} s, came back {came_back:.2f} s after healing; "
        f"{pair.first.count()} through the first, {pair.second.count()} through the second"
    )
    _everybody_says_why(api, pair, load.accepted)


def _all_taken(pair: Pair, emails: set[str], *, seconds: float = 20) -> None:
    until(lambda: emails - set(pair.taken), lambda missing: not missing, seconds=seconds, what="taken by a relay")


def _everybody_says_why(api: Api, pair: Pair, emails: list[str]) -> None:
    until(
        lambda: api.get("/api/emails", provider_id=pair.second_id)["total"],
        lambda total: total == len(pair.second.taken),
        seconds=20,
        what="listed under the provider that sent it",
    )
    for email_id in emails:
        timeline = api.get(f"/api/emails/{email_id}/timeline")
        moves = [fact["data"] for fact in timeline if fact["type"] == "email.rerouted.v1"]
        by = pair.second_id if email_id in pair.second.taken else pair.first_id
        assert api.get(f"/api/emails/{email_id}")["provider_id"] == by
        if by == pair.first_id:
            assert moves == []
            continue
        (move,) = moves
        assert (move["from_provider_id"], move["provider_id"]) == (pair.first_id, pair.second_id)
        assert move["route"]["reason"] == "fallback"
        assert "Main relay" in move["route"]["detail"], move
