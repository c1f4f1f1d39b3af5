"""A provider of a kind that only a newer version knows: shown, kept, and not touched by what does not know it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers import NatsAddress
from libs.common.facts import Actor, new_envelope
from libs.common.facts.provider import ProviderCreated
from libs.common.jetstream.append import append
from tests.integration.providers.service import Api, providers
from tests.support.aio import run
from tests.support.sending import provider_state

PIGEON = provider_state(
    1, 25, provider_type="pigeon", smtp=None, region="north", unknown_policy="ask", credentials={"ring": "***"}
)
PATH = "/api/email-providers/1"


def test_it_is_shown_kept_and_deleted_and_nothing_else(clean_nats: NatsAddress, tmp_path: Path) -> None:
    async def main() -> None:
        async with providers(clean_nats.url, tmp_path) as api:
            fact = new_envelope(
                ProviderCreated(provider=PIGEON), source="newer", actor=Actor(id="t", kind="system"), at=_now()
            )
            await append(api.bus, fact)
            await _tried(api)

    run(main())


async def _tried(api: Api) -> None:
    smtp = {"host": "relay.example", "port": 25}
    refused: list[tuple[str, str, Any]] = [
        ("PATCH", PATH, {"region": "south"}),
        ("PATCH", PATH, {"smtp_credentials": smtp}),
    ]
    shown = await _shown(api)
    assert (shown["provider_type"], shown["unknown_policy"], shown["credentials"]) == ("pigeon", "ask", {"ring": "***"})
    for method, path, body in refused:
        answer = await api(method, path, body)
        assert (answer.status, answer.json["error_code"]) == (409, "CONFLICT"), answer.body
        assert "pigeon" in answer.json["detail"]
    domain = await api("POST", "/api/email-domains", {"provider_id": 1, "domain": "shop.example"})
    assert domain.status in {409, 502}, domain.body
    tested = await api("POST", f"{PATH}/test", {"from": "a@shop.example"})
    assert tested.status == 200
    assert tested.json["success"] is False
    assert "pigeon" in tested.json["error"]
    last = [each for each in await api.facts("mail.provider.1") if each.data["provider"]["provider_type"] != "pigeon"]
    assert last == [], "its kind is kept in every fact that is written of it"
    assert (await api("PATCH", PATH, {"name": "Post"})).status == 200, "what every provider has can be changed"
    assert (await _shown(api))["name"] == "Post"
    assert (await api("DELETE", PATH)).status == 204


async def _shown(api: Api) -> dict[str, Any]:
    answer = await api("GET", PATH)
    if answer.status != 200:
        pytest.fail(f"{answer.status} {answer.body!r}")
    shown: dict[str, Any] = answer.json
    return shown


def _now() -> datetime:
    return datetime.now(UTC)
