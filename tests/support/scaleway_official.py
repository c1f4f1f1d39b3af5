"""Scaleway's own client, run by the interpreter that has it: calls come in on stdin, what came of them goes out.

    [["create_email", {"subject": "…", …}], …]  →  [{"answer": {…}}, {"raised": "ScalewayException", "status": 403}, …]

Nothing of ours is imported here: the environment of the emulators does not have it.
"""

import asyncio
import dataclasses
import importlib
import json
import sys
from typing import Any

# Not there where the code is checked; and here it is only passed on.
SCALEWAY = "scaleway_async"
TEM = "scaleway_async.tem.v1alpha1"


def arguments(tem: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Addresses and headers in the client's own types."""
    made = dict(given)
    for name in {"to", "cc", "bcc"} & made.keys():
        made[name] = [tem.CreateEmailRequestAddress(**{"name": None, **each}) for each in made[name]]
    if "from_" in made:
        made["from_"] = tem.CreateEmailRequestAddress(**{"name": None, **made["from_"]})
    if "additional_headers" in made:
        made["additional_headers"] = [tem.CreateEmailRequestHeader(**each) for each in made["additional_headers"]]
    return made


async def main() -> None:
    tem = importlib.import_module(TEM)
    api = tem.TemV1Alpha1API(importlib.import_module(SCALEWAY).Client.from_env())
    done: list[dict[str, Any]] = []
    for name, given in json.load(sys.stdin):
        try:
            answer = await getattr(api, name)(**arguments(tem, given))
        except Exception as error:  # noqa: BLE001 - what it raises is the result
            response = getattr(error, "response", None)
            status = getattr(response, "status_code", None)
            done.append({"raised": type(error).__name__, "status": status, "text": getattr(response, "text", "")})
        else:
            plain = [dataclasses.asdict(each) for each in answer] if isinstance(answer, list) else None
            done.append({"answer": plain if plain is not None else dataclasses.asdict(answer)})
    json.dump(done, sys.stdout, default=str)


if __name__ == "__main__":
    asyncio.run(main())
