"""The interface of a relay of any kind: hand over one message, get an outcome for each recipient."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from libs.common.facts.domain import DnsRecord, DomainStatus
from libs.common.mime.addresses import Mailbox

Verdict = Literal["accepted", "deferred", "bounced", "failed"]

BeforeDot = Callable[[], Awaitable[bool]]
"""Awaited right before the point of no return; False means that the message is not ours to send any more."""

# An address reaches the wire between angle brackets: whatever could end it there must never get this far.
_UNSAFE_ADDRESS = re.compile(r"[\x00-\x20\x7f<>\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Letter:
    """The parts of a message, for relays that write the message themselves (Scaleway).

    `to`, `cc` and `bcc` name everybody the email is for; who gets it in this transaction is the submission's
    `recipients`. `headers` are the sender's own, in order; `email_id` correlates what the relay reports later.
    """

    sender: Mailbox
    to: tuple[Mailbox, ...]
    subject: str
    text: str | None
    html: str | None
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    reply_to: tuple[Mailbox, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    email_id: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """One message for one transaction, ready for the wire; what cannot be sent safely cannot be constructed.

    `message` is CRLF throughout, ends with CRLF, is 7-bit (unless `smtputf8`) and not dot-stuffed. `sender`
    may be empty (the null reverse-path, RFC 5321 section 4.5.5). `smtputf8`: the message needs RFC 6531.
    `letter` says the same once more for relays that take no finished message. Raises `ValueError`.
    """

    sender: str
    recipients: tuple[str, ...]
    message: bytes
    message_id: str
    smtputf8: bool = False
    letter: Letter | None = None

    def __post_init__(self) -> None:
        if not self.recipients or not all(self.recipients):
            raise ValueError("a submission needs recipients")
        for address in (self.sender, *self.recipients):
            if _UNSAFE_ADDRESS.search(address):
                raise ValueError("an address holds a space, a control character or an angle bracket")
        message = self.message
        ends = message.count(b"\r\n")
        # A bare CR or LF is how messages are smuggled past relays (CVE-2023-51764 and its kin).
        if not message.endswith(b"\r\n") or message.count(b"\n") != ends or message.count(b"\r") != ends:
            raise ValueError("the message's lines do not all end with CRLF")
        if not self.smtputf8 and not message.isascii():
            raise ValueError("the message is not 7-bit")


@dataclass(frozen=True, slots=True)
class RecipientReply:
    """The outcome for one recipient. `text` is the relay's own words, cleaned, at most 512 characters.

    `smtp_code` is None where the relay was never asked, because its EHLO had already said no, or is none that
    speaks SMTP. `provider_message_id` is there where the relay names each recipient's copy itself (Scaleway).
    """

    address: str
    outcome: Verdict
    smtp_code: int | None
    enhanced_status: str | None
    text: str
    provider_message_id: str | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """The provider itself: nothing was sent, and it is not the recipients' fault.

    `connection`: back off and try again. `configuration`: credentials or TLS, nothing gets better until
    somebody changes a setting. `throttled`: it wants less from us per second. `quota`: what it takes in a day is
    used up. `suggestion` is for the person reading.
    """

    kind: Literal["connection", "configuration", "throttled", "quota"]
    text: str
    smtp_code: int | None = None
    enhanced_status: str | None = None
    suggestion: str | None = None


class RelayTroubled(Exception):
    """The provider could not be asked about an identity; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(f"{trouble.kind}: {trouble.text}")
        self.trouble = trouble


class IdentityRefused(Exception):
    """The provider said no to this domain; `text` is its own words, cleaned, at most 512 characters."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class SendResult:
    """How a hand-over ended; exactly one of four cases, see the constructors below.

    `detail` says in words what was seen when the outcome is unknown.
    """

    recipients: tuple[RecipientReply, ...] = ()
    provider_message_id: str | None = None
    trouble: Trouble | None = None
    unknown_stage: str | None = None
    abandoned: bool = False
    detail: str | None = None

    def __post_init__(self) -> None:
        if sum((bool(self.recipients), bool(self.trouble), bool(self.unknown_stage), self.abandoned)) != 1:
            raise ValueError("a hand-over ends in exactly one way")


def answered(recipients: tuple[RecipientReply, ...], provider_message_id: str | None) -> SendResult:
    """Every recipient has an outcome; the provider's id counts only if one of them was accepted."""
    accepted = any(reply.outcome == "accepted" for reply in recipients)
    return SendResult(recipients=recipients, provider_message_id=provider_message_id if accepted else None)


def troubled(trouble: Trouble) -> SendResult:
    """Nothing was sent."""
    return SendResult(trouble=trouble)


def unknown(detail: str) -> SendResult:
    """The message was complete on the wire and no usable answer came: it may have been taken (RFC 1047)."""
    return SendResult(unknown_stage="final_dot", detail=detail)


@dataclass(frozen=True, slots=True)
class Identity:
    """A sending domain as the provider sees it.

    `records` carry what the provider says of each (`unknown` where it says nothing); those that a domain has to have
    before mail is sent are `required`. `error` is why something is not as it should be, for a person.
    """

    status: DomainStatus
    records: tuple[DnsRecord, ...] = ()
    error: str | None = None


class Relay(Protocol):
    """One provider's connections. Any number of tasks of one loop may use it; `close` it when done."""

    async def send(self, submission: Submission, *, before_dot: BeforeDot | None = None) -> SendResult:
        """Hand one message over. Never raises for what the relay does; what `before_dot` raises comes out.

        Cancelled, it drops its connection; if the final dot was already out, nobody knows whether the relay
        took the message.
        """
        ...

    async def check_credentials(self) -> Trouble | None:
        """Connect, encrypt and log in as sending would; None when all of it works."""
        ...

    async def create_identity(self, domain: str) -> Identity:
        """Register the domain, or take up what is registered already. Raises `IdentityRefused`, `RelayTroubled`."""
        ...

    async def verify_identity(self, domain: str) -> Identity:
        """Have it checked now. Raises `IdentityRefused` (also when it is not there), `RelayTroubled`."""
        ...

    async def delete_identity(self, domain: str) -> None:
        """Done too when it was not there. Raises `IdentityRefused`, `RelayTroubled`."""
        ...

    async def close(self) -> None:
        """Say goodbye on idle connections; those at work are closed when they are done."""
        ...
