"""The second copy of the log."""

import orjson

from services.analytics.log_copy.fold import STAGES, fold
from tests.support.projecting import fact


def test_a_fact_can_be_put_together_again_from_its_row() -> None:
    original = fact(7)
    [row] = fold([original])["stage_facts"]
    found = dict(zip(STAGES["stage_facts"], row, strict=True))
    assert found["email_id"] == original.data["email_id"]
    assert found["data"] == orjson.dumps(original.data).decode()
    envelope = {
        "specversion": "1.0",
        **{name: found[name] for name in ("id", "source", "type", "subject", "time")},
        "correlationid": found["correlation_id"],
        "causationid": found["causation_id"],
        "actor": orjson.loads(found["actor"]),
        "data": orjson.loads(found["data"]),
    }
    assert orjson.dumps(envelope) == original.encode()
