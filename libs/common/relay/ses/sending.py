"""SendEmail, the one request on the sending path: written and signed here, and carried by the gated HTTP client.

botocore's client would do it too, but serialises, resolves and parses by a model of the whole API, and says of a failed
request only that it failed. Its signature is used (`botocore.auth`). Imported when the first message is sent: that
costs 5 MB.

Protocol: rest-json with AWS' Signature Version 4 for the service `ses` (botocore's `sesv2/2019-09-27/service-2.json`;
"SendEmail" in the reference of SES API v2).
"""

import base64
from collections.abc import Mapping
from typing import Any

import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from libs.common.relay.http.messages import HttpAnswer, HttpRequest, NoAnswer
from libs.common.relay.ses.errors import Refused
from libs.common.relay.ses.settings import SesSettings

_PATH = "/v2/email/outbound-emails"


def signed_request(settings: SesSettings, arguments: Mapping[str, Any], message: bytes) -> HttpRequest:
    """SendEmail of this MIME message with these other `arguments`, signed at this moment.

    Base64, JSON and the digest take 10 ms for 1 MB: call it in a thread for a long message. Raises `NotSent`.
    """
    raw = {"Raw": {"Data": base64.b64encode(message).decode("ascii")}}
    body = orjson.dumps({**arguments, "Content": raw})
    url = f"{settings.endpoint()}{_PATH}"
    headers = {"Content-Type": "application/json", "User-Agent": "Temps"}
    request = AWSRequest(method="POST", url=url, data=body, headers=headers)
    credentials = Credentials(settings.access_key_id, settings.secret_access_key.get_secret_value())
    SigV4Auth(credentials, "ses", settings.region).add_auth(request)
    return HttpRequest("POST", url, dict(request.headers.items()), body)


def message_id(answer: HttpAnswer) -> str:
    """SES' id of the message that it took. Raises `Refused` and `NoAnswer`."""
    content = _object(answer.body)
    if answer.status >= 300:
        raise Refused(_code(answer, content), answer.status, _text(content, "message", "Message"))
    if content is None:
        raise NoAnswer("the answer cannot be read")
    found = _text(content, "MessageId")
    if not found:
        raise NoAnswer("SES answered with success and named no message")
    return found


def _code(answer: HttpAnswer, content: Mapping[str, Any] | None) -> str:
    """As `UnrecognizedClientException:http://internal.amazon.com/` or `com.amazonaws.ses#NotFoundException`."""
    said = answer.headers.get("x-amzn-errortype") or _text(content, "__type", "code", "Code")
    return said.partition(":")[0].rpartition("#")[2].strip()


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return content if isinstance(content, dict) else None


def _text(content: Mapping[str, Any] | None, *names: str) -> str:
    found = ((content or {}).get(name) for name in names)
    return next((each for each in found if isinstance(each, str) and each), "")
