"""Bodies that work as they stand, for the API's description: one for each type of provider."""

from typing import Any

from libs.common.relay.kinds import KINDS, Kind


def body(**named: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """What OpenAPI calls `examples`, as an addition to a route's description: a summary and a value by name."""
    examples = {name: {"summary": summary, "value": value} for name, (summary, value) in named.items()}
    return {"requestBody": {"content": {"application/json": {"examples": examples}}}}


def _create(kind: Kind) -> tuple[str, dict[str, Any]]:
    members = {name: value for name, value in kind.example.items() if name != "summary"}
    return kind.example["summary"], {"provider_type": kind.name, **members}


CREATE_PROVIDER = body(**{kind.name: _create(kind) for kind in KINDS.values()})
UPDATE_PROVIDER = body(
    rename=("Another name", {"name": "Main relay"}),
    pace=("Ten emails a second over two connections", {"max_connections": 2, "rate_limit_per_second": 10}),
)
TEST_PROVIDER = body(own=("From one of your domains", {"from": "hello@shop.example"}))
CREATE_DOMAIN = body(own=("A domain of yours, at the provider with id 1", {"provider_id": 1, "domain": "shop.example"}))
