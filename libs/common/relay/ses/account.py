"""Requests to SES other than sending: account, sending domains, event destinations."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from libs.common.relay.http.client import HttpClient
from libs.common.relay.http.messages import NoAnswer, NotSent
from libs.common.relay.lazy import load
from libs.common.relay.port import Identity, IdentityRefused, RelayTroubled, Trouble
from libs.common.relay.ses.errors import Kind, Refused, Words, meaning, trouble
from libs.common.relay.ses.identity import Answer, identity, mail_from, mail_from_set
from libs.common.relay.ses.settings import SesSettings

if TYPE_CHECKING:  # see `_opened`
    from libs.common.relay.ses.client import SesClient

CONFIGURATION_SET = "temps"
"""New identities send with it unless told otherwise; `route_events` hangs the events on it."""

_EVENTS = ("SEND", "REJECT", "BOUNCE", "COMPLAINT", "DELIVERY", "DELIVERY_DELAY", "RENDERING_FAILURE")
_SET_EXISTS = ("AlreadyExists", "ConfigurationSetAlreadyExists")  # the second is v1's word, which moto uses in v2
# Where no message is concerned, what SES could not do now it may do later.
_TROUBLES: Mapping[Kind, Literal["connection", "configuration", "throttled", "quota"]] = {
    "connection": "connection",
    "configuration": "configuration",
    "throttled": "throttled",
    "quota": "quota",
    "failed": "connection",
    "unknown": "connection",
}
# How many domains and configuration sets an account may have is no quota of sending: it is a no to one more.
_NO = frozenset({"NotFound", "LimitExceeded"})


@dataclass(slots=True, repr=False, eq=False)
class Account:
    """An account in a region, asked by way of aioboto3 over the relay's HTTP client."""

    settings: SesSettings
    http: HttpClient
    words: Words
    _client: "SesClient | None" = None
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def check(self) -> Trouble | None:
        """None if SES knows the key and the account may send (the sandbox is fine); otherwise the trouble."""
        try:
            account = _having("SendingEnabled", await self._asked("get_account"))
        except RelayTroubled as failure:
            return failure.trouble
        except IdentityRefused as failure:
            return Trouble("configuration", failure.text)
        if account["SendingEnabled"]:
            return None
        said = self.words(f"sending is paused for this account ({account.get('EnforcementStatus', 'no reason given')})")
        return Trouble("configuration", said, suggestion="See the SES console, account dashboard, for the reason.")

    async def create_identity(self, domain: str) -> Identity:
        """Easy DKIM with 2048 bits; an identity that is there already is taken up as it is."""
        arguments: dict[str, Any] = {"DkimSigningAttributes": {"NextSigningKeyLength": "RSA_2048_BIT"}}
        if await self._configuration_set():
            arguments["ConfigurationSetName"] = CONFIGURATION_SET
        answer = await self._asked("create_email_identity", EmailIdentity=domain, **arguments, fine=("AlreadyExists",))
        if not answer:
            answer = await self._asked("get_email_identity", EmailIdentity=domain)
        return await self._with_mail_from(domain, answer)

    async def verify_identity(self, domain: str) -> Identity:
        """The identity as SES reports it now; SES checks DNS by itself."""
        return await self._with_mail_from(domain, await self._asked("get_email_identity", EmailIdentity=domain))

    async def delete_identity(self, domain: str) -> None:
        """The identity and its keys."""
        await self._asked("delete_email_identity", EmailIdentity=domain, fine=("NotFound",))

    async def route_events(self, topic_arn: str) -> None:
        """From now on what becomes of each message is told to this SNS topic; a second time changes nothing.

        Raises `RelayTroubled`, and `IdentityRefused` for a topic that SES does not take.
        """
        await self._asked("create_configuration_set", ConfigurationSetName=CONFIGURATION_SET, fine=_SET_EXISTS)
        arguments: dict[str, Any] = {
            "ConfigurationSetName": CONFIGURATION_SET,
            "EventDestinationName": CONFIGURATION_SET,
            "EventDestination": {
                "Enabled": True,
                "MatchingEventTypes": list(_EVENTS),
                "SnsDestination": {"TopicArn": topic_arn},
            },
        }
        if not await self._asked("create_configuration_set_event_destination", fine=("AlreadyExists",), **arguments):
            await self._asked("update_configuration_set_event_destination", **arguments)

    async def _configuration_set(self) -> bool:
        """True if the configuration set exists. Identities work without it, if the key may not create it."""
        try:
            await self._asked("create_configuration_set", ConfigurationSetName=CONFIGURATION_SET, fine=_SET_EXISTS)
        except IdentityRefused:
            return False
        except RelayTroubled as failure:
            if failure.trouble.kind != "configuration":
                raise
            return False
        return True

    async def _with_mail_from(self, domain: str, answer: Answer) -> Identity:
        """The identity, its MAIL FROM domain asked for if it never was; the domain stands without it too."""
        _having("VerifiedForSendingStatus", answer)
        error = None
        if not mail_from_set(answer):
            try:
                await self._asked(
                    "put_email_identity_mail_from_attributes",
                    EmailIdentity=domain,
                    MailFromDomain=mail_from(domain),
                    BehaviorOnMxFailure="USE_DEFAULT_VALUE",
                )
            except IdentityRefused as refusal:
                error = refusal.text
            except RelayTroubled as failure:
                if failure.trouble.kind != "configuration":
                    raise
                error = failure.trouble.text
            else:
                attributes = {"MailFromDomain": mail_from(domain), "MailFromDomainStatus": "PENDING"}
                answer = {**answer, "MailFromAttributes": attributes}
        reason = f"SES refused the MAIL FROM domain {mail_from(domain)}: {error}" if error is not None else None
        return identity(domain, self.settings.region, answer, mail_from_error=reason)

    async def _asked(self, operation: str, *, fine: Collection[str] = (), **arguments: Any) -> Mapping[str, Any]:
        """The answer; empty for a refusal that is `fine`.

        Raises `RelayTroubled` and `IdentityRefused`.
        """
        try:
            return await (await self._opened()).call(operation, **arguments)
        except NotSent as failure:
            raise RelayTroubled(trouble(failure, self.words)) from None
        except NoAnswer as failure:
            raise RelayTroubled(Trouble("connection", failure.text)) from None
        except Refused as refusal:
            if refusal.code in fine:
                return {}
            means = meaning(refusal, self.words)
            # Without a code it is a gateway that speaks, and of no domain.
            if (means.kind == "failed" and refusal.code) or refusal.code in _NO:
                raise IdentityRefused(means.text) from None
            raise RelayTroubled(Trouble(_TROUBLES[means.kind], means.text, suggestion=means.suggestion)) from None

    async def _opened(self) -> "SesClient":
        async with self._opening:
            if self._client is None:
                await load("libs.common.relay.ses.client")
                from libs.common.relay.ses.client import open_client, session  # noqa: PLC0415 - see above

                await asyncio.to_thread(session)  # reads the API's model
                self._client = await open_client(self.settings, self.http)
            return self._client


def _having(member: str, answer: Answer) -> Answer:
    """The answer, if it is SES' at all: botocore makes an empty one of anything. Raises `RelayTroubled`."""
    if member not in answer:
        text = "what answers at the endpoint does not speak like SES"
        raise RelayTroubled(Trouble("configuration", text, suggestion="Check the endpoint."))
    return answer
