"""Write the schema of every fact that has none yet: `python -m tests.contract.publish_schemas`."""

import json
from pathlib import Path

from libs.common.facts import FACTS

SCHEMAS = Path(__file__).parent / "schemas"


def main() -> None:
    """A file that exists is history and stays as it is."""
    for type_, model in FACTS.items():
        path = SCHEMAS / f"{type_}.json"
        if not path.exists():
            schema = model.model_json_schema(mode="serialization")
            path.write_text(json.dumps(schema, indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
