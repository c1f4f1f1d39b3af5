"""Read models and the audit take facts with words that only a newer version knows, and show them as they are."""

from typing import Any

from libs.common.facts.provider import ProviderCreated, SmtpEndpoint
from tests.backing import Database
from tests.support.administration import ANN, provider
from tests.support.answering import answering
from tests.support.history import BEGINNING, History, attempted, new_id, submitted
from tests.support.read_models import copies

EMAIL = new_id(7)


def a_newer_day() -> History:
    history = History()
    endpoint = SmtpEndpoint(host="h", port=25, encryption="quantum", accept_invalid_certs=False)
    pigeon = provider(provider_type="pigeon", unknown_policy="ask", smtp=endpoint)
    history.note(ProviderCreated(provider=pigeon), BEGINNING, ANN)
    route: Any = {"reason": "horoscope", "domain_id": 1, "detail": None}
    history.add("email.accepted.v1", EMAIL, BEGINNING, **submitted(route=route))
    lost = attempted({"ann@example.org": "unknown"}, stage="in flight", policy="ask", reason="storm")
    history.add("email.unknown.v1", EMAIL, BEGINNING, **lost)
    moved = {"attempt": 2, "from_provider_id": 1, "provider_id": 2, "route": route, "tried": [1]}
    history.add("email.rerouted.v1", EMAIL, BEGINNING, **moved)
    bounced = attempted({"ann@example.org": "bounced"}, attempt=2, provider_id=2, origin="hearsay")
    history.add("email.bounced.v1", EMAIL, BEGINNING, **bounced)
    return history


async def test_the_words_of_a_newer_version_are_folded_and_shown(database: Database) -> None:
    async with copies(database, "") as (copy,):
        await copy.apply(a_newer_day().all())
    async with answering(database.owner_url) as service:
        audit = await service.get("/api/audit-logs", scopes=frozenset({"audit:read"}))
        assert "pigeon" in str(audit.json)
        email = await service.get(f"/api/emails/{EMAIL}", scopes=frozenset({"emails:read"}))
        assert (email.status, email.json["status"]) == (200, "bounced"), email.body
        timeline = await service.get(f"/api/emails/{EMAIL}/timeline", scopes=frozenset({"emails:read"}))
        assert timeline.status == 200, timeline.body
        said = str(timeline.json)
        assert [word for word in ("in flight", "storm", "horoscope") if word not in said] == []
