"""A botocore client that knows nothing but what it is told, and whose failures are three exceptions of ours.

No profile, credential file, AWS_* variable, proxy variable or metadata service has any influence: an installation's
providers are those that somebody entered, and whoever entered them must not borrow the machine's own rights. Imported
when a client is opened, not before: the libraries cost 30 MB and 0.4 s.
"""

import functools
import logging
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader

from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import BeforeDot
from libs.common.relay.ses.errors import Abandoned, NoAnswer, NotSent, Refused
from libs.common.relay.ses.exchange import Exchange, Stopped, exchange
from libs.common.relay.ses.http import Wire
from libs.common.relay.ses.settings import SesSettings

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SesClient:
    """One client and its connections; made by `open_client`."""

    _client: Any = field(repr=False)
    _opened: AsyncExitStack = field(repr=False)

    async def call(self, operation: str, *, before_dot: BeforeDot | None = None, **arguments: Any) -> Mapping[str, Any]:
        """SES' answer. Raises `Refused`, `NotSent`, `NoAnswer`, `Abandoned`, and what `before_dot` raises."""
        state = Exchange(before_dot)
        mine = exchange.set(state)
        try:
            answer: Mapping[str, Any] = await getattr(self._client, operation)(**arguments)
        except Stopped:
            if state.raised is not None:
                raise state.raised from None
            raise Abandoned from None
        except ClientError as error:
            said: Mapping[str, Any] = error.response.get("Error", {})
            code, words = str(said.get("Code") or ""), str(said.get("Message") or "")
            # Where an answer has no code, botocore puts its status there.
            raise Refused("" if code.isdecimal() else code, state.status, words) from None
        except (NotSent, NoAnswer):
            if state.status >= 400:
                # A refusal whose words were cut off is still a refusal.
                raise Refused("", state.status, "") from None
            raise
        except Exception as error:
            # botocore's parsers meet octets from outside with whatever exception they happen to hit.
            if state.begun:
                log.warning("an answer of SES could not be read: %s", type(error).__name__)
                if state.status >= 300:
                    raise Refused("", state.status, "") from None
                raise NoAnswer("the answer after the message was sent cannot be read") from None
            if isinstance(error, BotoCoreError):
                raise NotSent(str(error), kind="configuration") from None
            raise
        finally:
            exchange.reset(mine)
        return answer

    async def close(self) -> None:
        """Close the connections."""
        await self._opened.aclose()


async def open_client(settings: SesSettings, policy: OutboundPolicy) -> SesClient:
    """A client for these settings, nothing connected yet. Raises `NotSent` (a region that cannot be one)."""
    wire = Wire(policy, settings)
    config = AioConfig(
        retries={"mode": "standard", "total_max_attempts": 1},  # the queue tries again, and knows what it tries
        http_session_cls=wire,  # which has its own timeouts, pool and TCP keepalive
        signature_version="v4",
        user_agent="Temps",
        ignore_configured_endpoint_urls=True,
    )
    opened = AsyncExitStack()
    try:
        client = await opened.enter_async_context(
            session().client(
                "sesv2",
                region_name=settings.region,
                endpoint_url=settings.endpoint_url,
                aws_access_key_id=settings.access_key_id,
                aws_secret_access_key=settings.secret_access_key.get_secret_value(),
                config=config,
            )
        )
    except (BotoCoreError, OSError, ValueError) as error:
        raise NotSent(str(error), kind="configuration") from None
    return SesClient(client, opened)


@functools.cache
def session() -> aioboto3.Session:
    """The one session of this process: it holds the model of the API, and neither credentials nor connections."""
    deaf = {
        name: (None, None, None if name in {"config_file", "credentials_file"} else default, conversion)
        for name, (_, _, default, conversion) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()
    }
    bare = AioSession(session_vars=deaf)
    loader = Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    bare.register_component("data_loader", loader)
    # Read now, in the thread that this runs in, what opening a client would read in the event loop.
    loader.load_service_model("sesv2", "service-2")
    loader.load_service_model("sesv2", "endpoint-rule-set-1")
    for name in ("endpoints", "partitions", "sdk-default-configuration"):
        loader.load_data(name)
    return aioboto3.Session(botocore_session=bare)
