import random
from typing import Any

import orjson
import pytest

from libs.common.facts import FACTS
from services.analytics.audit.rules import NAMES, NOT_AUDITED, OPERATIONS
from tests.contract.examples import example

CANARY = "canary-71d0"


def test_it_is_decided_of_every_fact_whether_it_is_audited() -> None:
    assert OPERATIONS.keys() | NOT_AUDITED.keys() == set(FACTS)
    assert not OPERATIONS.keys() & NOT_AUDITED.keys()


def test_operations_are_written_as_the_contract_writes_them() -> None:
    assert all(name.isupper() and name.isidentifier() for name in NAMES)
    assert {"EMAIL_PROVIDER_CREATED", "EMAIL_PROVIDER_UPDATED", "EMAIL_PROVIDER_DELETED"} <= set(NAMES)
    assert {"EMAIL_PROVIDER_TESTED", "EMAIL_DOMAIN_CREATED", "EMAIL_DOMAIN_VERIFIED"} <= set(NAMES)
    assert {"EMAIL_DOMAIN_DELETED", "EMAIL_SENT", "API_KEY_CREATED"} <= set(NAMES)


@pytest.mark.parametrize("type_", sorted(OPERATIONS))
def test_details_are_made_of_any_fact_and_hold_nothing_of_its_secrets(type_: str) -> None:
    schema = FACTS[type_].model_json_schema(mode="serialization")
    for seed in range(25):
        data = example(schema, random.Random(seed))  # noqa: S311 - an example, no secret
        details = OPERATIONS[type_].details(_poisoned(data))
        assert CANARY not in orjson.dumps(details).decode()


def _poisoned(data: dict[str, Any]) -> dict[str, Any]:
    """Every text of what a key, a provider or an email is made of, but what may be told, is a secret."""
    secret = ("credentials", "credential_version", "sha256", "prefix", "subject", "recipients", "content", "metadata")
    found: dict[str, Any] = {}
    for name, value in data.items():
        if name in secret:
            found[name] = CANARY
        elif isinstance(value, dict):
            found[name] = _poisoned(value)
        else:
            found[name] = value
    return found


def test_a_provider_that_accepts_any_certificate_says_so() -> None:
    state = {"id": 1, "name": "relay", "provider_type": "smtp", "region": "custom", "smtp": None}
    created = OPERATIONS["provider.created.v1"]
    plain = {"provider_id": 1, "name": "relay", "provider_type": "smtp", "region": "custom"}
    assert created.details({"provider": state}) == plain
    state["smtp"] = {"accept_invalid_certs": True}
    assert created.details({"provider": state}) == plain | {"accept_invalid_certs": True}


def test_the_examples_reach_every_member() -> None:
    """Otherwise the canary proves nothing."""
    schema = FACTS["provider.created.v1"].model_json_schema(mode="serialization")
    data = example(schema, random.Random(1))  # noqa: S311 - an example, no secret
    assert CANARY in orjson.dumps(_poisoned(data)).decode()
