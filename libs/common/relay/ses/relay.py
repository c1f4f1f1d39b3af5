"""The SES adapter of the relay port: Amazon's API v2, with our own MIME message."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any

from libs.common.relay.http.client import HttpClient
from libs.common.relay.http.messages import Abandoned, NoAnswer, NotSent
from libs.common.relay.lazy import load
from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import (
    BeforeDot,
    Identity,
    RecipientReply,
    SendResult,
    Submission,
    Trouble,
    Verdict,
    answered,
    troubled,
    unknown,
)
from libs.common.relay.ses.account import Account
from libs.common.relay.ses.errors import Meaning, Refused, Words, meaning, trouble
from libs.common.relay.ses.settings import SesSettings, endpoint_trouble

__all__ = ["SesRelay", "SesSettings", "endpoint_trouble", "open_ses_relay"]

_NOT_IN_TAGS = re.compile(r"[^A-Za-z0-9_-]")  # API reference, MessageTag
_TAG_LIMIT = 256
_FROM = re.compile(rb"^From:((?:[^\r\n]|\r\n[ \t])*)", re.IGNORECASE | re.MULTILINE)
_FROM_LIMIT = 320  # API reference, SendEmail, FromEmailAddress: the name included
_LONG = 128 * 1024
"""Octets: a longer message is encoded and signed in a thread, for it would hold the loop for milliseconds."""
_UNSUPPORTED_ADDRESS = "unsupported_address: SES does not take addresses outside ASCII"


def open_ses_relay(settings: SesSettings, *, policy: OutboundPolicy | None = None) -> "SesRelay":
    """A relay for these settings; nothing is loaded or connected before it is first used. Call it inside the loop."""
    http = HttpClient(settings.http(), policy or OutboundPolicy())
    words = Words(settings.secrets())
    return SesRelay(settings, http, words, Account(settings, http, words))


@dataclass(frozen=True, slots=True, repr=False)
class SesRelay:
    """`libs.common.relay.port.Relay` for SES; made by `open_ses_relay`."""

    settings: SesSettings
    http: HttpClient
    words: Words
    account: Account

    async def send(self, submission: Submission, *, before_dot: BeforeDot | None = None) -> SendResult:
        """One message, one SendEmail, waiting for a free connection first. SES takes it for everybody or for nobody."""
        replies = _unsupported(submission)
        asked = tuple(address for address in submission.recipients if address not in replies)
        message_id = None
        if asked:
            outcome = await self._sent(_arguments(submission, asked), submission.message, before_dot)
            if isinstance(outcome, SendResult):
                return outcome
            verdict, text = outcome
            if verdict == "accepted":
                message_id, text = text, ""
            replies |= {address: RecipientReply(address, verdict, None, None, text) for address in asked}
        return answered(tuple(replies[address] for address in submission.recipients), message_id)

    async def check_credentials(self) -> Trouble | None:
        """None if SES knows the key and the account may send (the sandbox is fine); otherwise the trouble."""
        return await self.account.check()

    async def create_identity(self, domain: str) -> Identity:
        """Easy DKIM with 2048 bits; an identity that is there already is taken up as it is."""
        return await self.account.create_identity(domain)

    async def verify_identity(self, domain: str) -> Identity:
        """The identity as SES reports it now. SES checks DNS by itself, every few minutes for 72 hours."""
        return await self.account.verify_identity(domain)

    async def delete_identity(self, domain: str) -> None:
        """The identity and its keys."""
        await self.account.delete_identity(domain)

    async def route_events(self, topic_arn: str) -> None:
        """From now on SES tells this SNS topic what becomes of each message. Raises as `Account.route_events`."""
        await self.account.route_events(topic_arn)

    async def close(self) -> None:
        """Close the connections, once those at work are done."""
        await self.http.close()

    async def _sent(
        self, arguments: Mapping[str, Any], message: bytes, before_dot: BeforeDot | None
    ) -> tuple[Verdict, str] | SendResult:
        """SES' verdict with its message id or its reason; a `SendResult` if the request ended without a verdict."""
        await load("libs.common.relay.ses.sending")
        from libs.common.relay.ses.sending import message_id, signed_request  # noqa: PLC0415 - see above

        try:
            if len(message) > _LONG:
                request = await asyncio.to_thread(signed_request, self.settings, arguments, message)
            else:
                request = signed_request(self.settings, arguments, message)
            taken = message_id(await self.http.exchange(request, before_dot=before_dot))
        except Abandoned:
            return SendResult(abandoned=True)
        except NotSent as failure:
            return troubled(trouble(failure, self.words))
        except NoAnswer as failure:
            return unknown(failure.text)
        except Refused as refusal:
            return _refusal(meaning(refusal, self.words))
        return "accepted", self.words(taken)


def _refusal(means: Meaning) -> tuple[Verdict, str] | SendResult:
    match means.kind:
        case "failed":
            return "failed", means.text
        case "unknown":
            return unknown(means.text)
        case kind:
            return troubled(Trouble(kind, means.text, suggestion=means.suggestion))


def _unsupported(submission: Submission) -> dict[str, RecipientReply]:
    """Whom SES cannot be asked about: its addresses are ASCII (API reference, Destination)."""
    everybody = submission.smtputf8 or not submission.sender.isascii()
    return {
        address: RecipientReply(address, "failed", None, "5.6.7", _UNSUPPORTED_ADDRESS)
        for address in submission.recipients
        if everybody or not address.isascii()
    }


def _from(submission: Submission) -> str:
    """The header's own From, because SES puts FromEmailAddress in its place: the bare address would lose the name.

    Seen by laravel/framework (pull request 37881, 2021) and django-anymail. Where the two differ the envelope's counts.
    """
    head = submission.message.partition(b"\r\n\r\n")[0]
    found = _FROM.search(head)
    header = found.group(1).replace(b"\r\n", b"").decode("ascii").strip() if found and submission.sender else ""
    fits = parseaddr(header)[1] == submission.sender and len(header) <= _FROM_LIMIT
    return header if fits else submission.sender


def _arguments(submission: Submission, recipients: tuple[str, ...]) -> dict[str, Any]:
    """SendEmail's arguments but the message, whose own header says nothing of who gets it: the Destination does."""
    letter = submission.letter
    destination: dict[str, list[str]] = {}
    if letter is None:
        destination["ToAddresses"] = list(recipients)
    else:
        kinds = {mailbox.address: "CcAddresses" for mailbox in letter.cc}
        kinds |= {mailbox.address: "ToAddresses" for mailbox in letter.to}
        for address in recipients:
            destination.setdefault(kinds.get(address, "BccAddresses"), []).append(address)
    arguments: dict[str, Any] = {"Destination": destination}
    sender = _from(submission)
    if sender:
        arguments["FromEmailAddress"] = sender
    tag = _NOT_IN_TAGS.sub("-", letter.email_id or "")[:_TAG_LIMIT] if letter else ""
    if tag:
        arguments["EmailTags"] = [{"Name": "email_id", "Value": tag}]
    return arguments
