"""The Scaleway adapter before the server that plays Scaleway."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

from pydantic import SecretStr

from libs.common.relay.scaleway.relay import ScalewaySettings, open_scaleway_relay
from tests.integration.relay.kinds import MAX_CONNECTIONS, SENDER_DOMAIN, Arrived, Harness, KindOf, Knob
from tests.support.scaleway import ScalewayServer, refused, text
from tests.support.scaleway_shapes import Act, denied, invalid, over_quota, recipients_of

HASTY = 0.4


def settings(api: ScalewayServer, **changes: Any) -> ScalewaySettings:
    """Those of the project that this server plays."""
    given: dict[str, Any] = {
        "api_key": SecretStr(api.project.secret_key),
        "project_id": api.project.project_id,
        "region": "fr-par",
        "api_url": api.url,
        "max_connections": MAX_CONNECTIONS,
        **changes,
    }
    return ScalewaySettings(**given)


@asynccontextmanager
async def _opened(hasty: bool) -> AsyncIterator[Harness]:  # noqa: FBT001 - the suite's
    async with ScalewayServer() as api:
        api.project.checked(SENDER_DOMAIN)
        # The project id is public, but Scaleway never needs to repeat the key it was given.
        key = api.project.secret_key
        relay = open_scaleway_relay(settings(api, read_timeout=HASTY) if hasty else settings(api))

        def plays(act: Act) -> Knob:
            async def knob() -> None:
                api.script["POST /emails"] = act

            return knob

        async def received() -> list[Arrived]:
            return [_arrived(letter) for letter in api.project.letters]

        async def refuse_credentials() -> None:
            api.project.secret_key = str(uuid4())
            status, body = denied()
            # It repeats the key that it was given, as others do.
            api.script["POST /emails"] = refused((status, {**body, "message": f"{body['message']}: {key}"}))

        async def publish(domain: str) -> None:
            api.project.published.add(domain)

        yield Harness(
            relay,
            received,
            credentials=(key,),
            refuse_credentials=refuse_credentials,
            refuse_message=plays(refused(invalid(("html", "constraint", "looks like spam")))),
            fall_silent=plays(Act(then="hang", carry_out=True)),
            away=api.leave,
            throttle=plays(text(429, "<html>Too Many Requests</html>", "text/html")),
            use_up_quota=plays(refused(over_quota())),
            linger=plays(Act(usual=True, delay=0.02)),
            handed_over=lambda: api.came("POST /emails"),
            connections=lambda: api.connections,
            most_at_once=lambda: api.most_at_work,
            publish=publish,
        )
        await relay.close()


def _arrived(letter: Mapping[str, Any]) -> Arrived:
    """`visible` is what Scaleway writes into the message: all but whom blind copies go to."""
    visible = json.dumps({name: value for name, value in letter.items() if name != "bcc"})
    return Arrived(tuple(each["email"] for _, each in recipients_of(letter)), letter["subject"], visible)


KINDS = (KindOf("scaleway", _opened),)
