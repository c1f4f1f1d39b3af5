"""Translates SES' refusals into ours, by one table; the first match wins.

Codes come with and without `Exception` at their end; the table has them without.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from libs.common.relay.http.messages import NotSent
from libs.common.relay.port import Trouble
from libs.common.relay.redact import redact
from libs.common.relay.wordings import About, speaks_of

Kind = Literal["connection", "configuration", "throttled", "quota", "failed", "unknown"]
"""The first four are troubles of the provider; `failed` is the message's; `unknown` is nobody's."""


class Refused(Exception):
    """SES answered, and not with success. `code` is empty where the answer named none."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(f"{status} {code}")
        self.code = code.removesuffix("Exception")
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Meaning:
    """A refusal in our words; `text` is SES' own, cleaned. `suggestion` is for the person reading."""

    kind: Kind
    text: str
    suggestion: str | None = None


_CLOCK = "AWS refuses requests whose time differs from its own by more than five minutes: check this machine's clock."
_KEYS = "Check the access key and its secret: it may be mistyped, deactivated or of another account."
_RIGHTS = (
    "The access key lacks a right: it needs ses:SendEmail, and for domains the identity and configuration actions."
)
_PAUSED = "Sending is paused for this account, region or configuration set: see the SES console for the reason."
_REGION = "Check the provider's region, and that SES is set up there."
_UNREACHABLE = (
    "Check the provider's region or endpoint, and that this machine may reach it. Some addresses are never connected "
    "to, whoever asks."
)
_ENDPOINT = "What answers there does not seem to be SES: check the endpoint."


@dataclass(frozen=True, slots=True)
class _Row:
    """A refusal with one of these `codes`, and with these `words` or a known wording `about` that in its text."""

    kind: Kind
    codes: frozenset[str]
    suggestion: str | None = None
    words: re.Pattern[str] | None = None
    about: About | None = None


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_THROTTLING = frozenset({"Throttling", "TooManyRequests", "RequestLimitExceeded", "SlowDown"})
_SIGNATURE = frozenset({"InvalidSignature", "SignatureDoesNotMatch", "IncompleteSignature"})
_MESSAGE = frozenset({"MessageRejected", "BadRequest", "ValidationError", "Validation"})

# "model" below: the errors that botocore 1.44 (2026) lists for SendEmail of `sesv2`; "common": CommonErrors in the API
# reference (2026). A row without either was seen, where and when it says; a row that says nothing is in the model.
_TABLE = (
    # Common, and not in the model: a caller of aws/aws-sdk missed it there (its issue 76, 2021). Its text tells rate
    # and quota apart ("Managing your Amazon SES sending limits", 2026: "Maximum sending rate exceeded", "Daily message
    # quota exceeded"; the first with status 400 in awsdocs/amazon-ses-developer-guide, issue 60, 2022).
    _Row("quota", _THROTTLING, words=_words(r"quota exceeded|daily")),
    _Row("throttled", _THROTTLING),
    # The model says "there are too many instances of the specified resource type", which SendEmail makes none of: for a
    # message we take it for the account's quota, which an hour's wait does no harm.
    _Row("quota", frozenset({"LimitExceeded"})),
    _Row("configuration", frozenset({"AccountSuspended", "SendingPaused"}), _PAUSED),
    # Names of API v1 (botocore's `ses`, 2010-12-01); emulators and older endpoints use them in v2 too.
    _Row("configuration", frozenset({"AccountSendingPaused", "ConfigurationSetSendingPaused"}), _PAUSED),
    # "MessageRejected: Sending paused for this account. For more information, please check the inbox …": GoodServer,
    # issue 419, 2023; hcengineering/platform, issue 8899, 2025.
    _Row("configuration", _MESSAGE, _PAUSED, _words(r"sending (is |has been )?paused")),
    _Row("quota", _MESSAGE, about="account"),  # the wordings and their sources are in `relay/wordings.py`
    # Common. The clock is five minutes off; a signature that is too old says so in its text ("Troubleshooting Signature
    # Version 4", 2026: "Signature expired: 20260504T… is now earlier than …", "Signature not yet current: …").
    _Row("configuration", frozenset({"RequestTimeTooSkewed", "RequestExpired"}), _CLOCK),
    _Row("configuration", _SIGNATURE, _CLOCK, _words(r"expired|not yet current")),
    _Row("configuration", _SIGNATURE, _KEYS),
    # Common; `InvalidAccessKeyId` is S3's and EC2's word, which emulators use.
    _Row("configuration", frozenset({"UnrecognizedClient", "InvalidClientTokenId", "ExpiredToken"}), _KEYS),
    _Row("configuration", frozenset({"MissingAuthenticationToken", "InvalidAccessKeyId"}), _KEYS),
    _Row("configuration", frozenset({"AccessDenied", "NotAuthorized"}), _RIGHTS),
    _Row("configuration", frozenset({"OptInRequired", "SubscriptionRequired"}), _REGION),
    # SendEmail knows no other thing that could be missing than the configuration set or the template.
    _Row("configuration", frozenset({"NotFound", "ConfigurationSetDoesNotExist"}), _REGION),
    # v1's text for the same (API reference of 2010-12-01, ConfigurationSetDoesNotExist).
    _Row("configuration", frozenset({"BadRequest"}), words=_words(r"configuration set .{0,80}does not exist")),
    _Row("failed", _MESSAGE | {"MailFromDomainNotVerified"}),
    # Of two that change the account at once (model); common, the request came too slowly.
    _Row("connection", frozenset({"ConcurrentModification", "RequestTimeout"})),
    # Common. An outage of SES' own: it did not take the message, and another provider may.
    _Row("connection", frozenset({"InternalFailure", "InternalServiceError", "ServiceUnavailable", "InternalServer"})),
)

# An answer without a code we know: by status. Bounds are inclusive. It is a gateway's or a proxy's, so that the meaning
# is HTTP's (RFC 9110 section 15, 2022), not SES'.
_STATUSES: tuple[tuple[int, int, Kind, str | None], ...] = (
    (300, 399, "configuration", _ENDPOINT),
    (400, 400, "failed", None),
    (401, 401, "configuration", _KEYS),
    (403, 403, "configuration", _RIGHTS),
    (408, 408, "connection", None),
    (413, 413, "failed", None),
    (429, 429, "throttled", None),
    (400, 499, "configuration", _ENDPOINT),
    # A gateway says that it lost SES' answer, not that SES said no (sections 15.6.3 and 15.6.5).
    (502, 502, "unknown", None),
    (504, 504, "unknown", None),
    (500, 599, "connection", None),
)


@dataclass(frozen=True, slots=True)
class Words:
    """Makes what comes from SES fit to show; `secrets` never pass."""

    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __call__(self, text: str) -> str:
        return redact(text, self.secrets)


def trouble(failure: NotSent, words: Words) -> Trouble:
    """SES was not reached."""
    suggestion = failure.suggestion or (_UNREACHABLE if failure.kind == "connection" else None)
    return Trouble(failure.kind, words(failure.text), suggestion=suggestion)


def meaning(refused: Refused, words: Words) -> Meaning:
    """Classifies a refusal."""
    # Without a code it is not SES that speaks, and what a gateway says is a page of HTML.
    text = words(f"{refused.code}: {refused.message}" if refused.code else "")
    text = text.removesuffix(":") or f"the endpoint answered with status {refused.status}"
    about = speaks_of(refused.message)
    for row in _TABLE:
        said = (row.words is None or row.words.search(refused.message)) and (row.about is None or row.about == about)
        if refused.code in row.codes and said:
            return Meaning(row.kind, text, row.suggestion)
    for first, last, kind, suggestion in _STATUSES:
        if first <= refused.status <= last:
            return Meaning(kind, text, suggestion)
    return Meaning("unknown", text)
