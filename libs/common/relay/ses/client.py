"""A botocore client for all that is asked of SES but sending, which knows nothing but what it is told.

No profile, credential file, AWS_* variable, proxy variable or metadata service has any influence: an installation's
providers are those that somebody entered, and whoever entered them must not borrow the machine's own rights. Imported
when the first question is asked, not before: the libraries cost 30 MB and 0.4 s.
"""

import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES
from botocore.exceptions import BotoCoreError, ClientError
from botocore.loaders import Loader

from libs.common.relay.http.client import HttpClient
from libs.common.relay.http.messages import NoAnswer, NotSent
from libs.common.relay.ses.errors import Refused
from libs.common.relay.ses.settings import SesSettings
from libs.common.relay.ses.transport import Transport

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SesClient:
    """Made by `open_client`. Its connections are those of the relay's HTTP client, so there is nothing to close."""

    _client: Any = field(repr=False)

    async def call(self, operation: str, **arguments: Any) -> Mapping[str, Any]:
        """SES' answer. Raises `Refused`, `NotSent`, `NoAnswer`."""
        try:
            answer: Mapping[str, Any] = await getattr(self._client, operation)(**arguments)
        except ClientError as error:
            said: Mapping[str, Any] = error.response.get("Error", {})
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            code, words = str(said.get("Code") or ""), str(said.get("Message") or "")
            # Where an answer has no code, botocore puts its status there.
            raise Refused("" if code.isdecimal() else code, status, words) from None
        except (NotSent, NoAnswer):
            raise
        except BotoCoreError as error:  # it did not get as far as the transport
            raise NotSent(str(error), kind="configuration") from None
        except Exception as error:  # noqa: BLE001 - it is raised again, as ours
            # botocore's parsers meet octets from outside with whatever exception they happen to hit.
            log.warning("an answer of SES could not be read: %s", type(error).__name__)
            raise NoAnswer("the answer cannot be read") from None
        return answer


async def open_client(settings: SesSettings, http: HttpClient) -> SesClient:
    """A client for these settings, nothing connected yet. Raises `NotSent` (a region that cannot be one)."""
    config = AioConfig(
        retries={"mode": "standard", "total_max_attempts": 1},  # retries are the caller's decision
        http_session_cls=Transport(http),  # which has its own timeouts, pool and TCP keepalive
        signature_version="v4",
        user_agent="Temps",
        ignore_configured_endpoint_urls=True,
    )
    opening = session().client(
        "sesv2",
        region_name=settings.region,
        endpoint_url=settings.endpoint_url,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key.get_secret_value(),
        config=config,
    )
    try:
        return SesClient(await opening.__aenter__())
    except (BotoCoreError, OSError, ValueError) as error:
        raise NotSent(str(error), kind="configuration") from None


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
