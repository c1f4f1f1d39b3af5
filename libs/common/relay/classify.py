"""Translates SMTP replies into outcomes and provider trouble, by two tables; the first match wins.

A reply speaks of the connection, of the provider's settings, of our account there, of the message, or of a recipient.
The first three are the provider's trouble: another provider sends the email, or it waits. The basic code says it
(RFC 5321 section 4.2), then the enhanced code (RFC 3463), and last a known wording (`wordings.py`). For message and
recipient the basic code's class alone decides whether to try again; where the classes disagree, the refusal is
temporary.
"""

import re
from dataclasses import dataclass
from typing import Literal

from libs.common.relay.port import RecipientReply, Trouble, Verdict
from libs.common.relay.wordings import About, speaks_of

Stage = Literal["connect", "ehlo", "starttls", "auth", "mail", "rcpt", "data", "dot"]

_OPENING = frozenset[Stage]({"connect", "ehlo"})
_TRANSACTION = frozenset[Stage]({"mail", "rcpt", "data", "dot"})
_ANYWHERE = _OPENING | frozenset[Stage]({"starttls", "auth"}) | _TRANSACTION

# RFC 2034 section 4: the enhanced code is the first word of the text. IronPort writes `#5.1.0` (seen 2023).
_ENHANCED = re.compile(r"#?([245]\.\d{1,3}\.\d{1,3})(?![\d.])")
# SES: "454 Throttling failure: Maximum sending rate exceeded" and "… Daily message quota exceeded".
_QUOTA = re.compile(r"quota exceeded", re.IGNORECASE)
_THROTTLING = re.compile(r"throttl|sending rate exceeded", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _About:
    """A reply that speaks of the provider. Codes are inclusive bounds.

    `details`: the enhanced code without its class is one of these. `words`: the text matches. `about`: a known wording
    in the text speaks of that, and no enhanced code names something about the mail itself.
    """

    first: int
    last: int
    stages: frozenset[Stage]
    kind: Literal["connection", "configuration", "throttled", "quota"]
    words: re.Pattern[str] | None = None
    details: frozenset[str] | None = None
    about: About | None = None


# RFC 3463 sections 3.2 to 3.6: the mailbox does not exist, moved, is disabled or full; the message is too big, or has
# too many recipients. Microsoft answers x.2.0 for its submission quota, so that one says nothing.
_ABOUT_THE_MAIL = frozenset({"1.1", "1.2", "1.3", "1.6", "1.10", "2.1", "2.2", "2.3", "2.4", "3.4", "5.3"})
# Google, "SMTP errors and codes", 2024: x.4.5 sending limit, x.7.28 rate of unsolicited mail. Microsoft, "NDR error
# codes in Exchange Online", 2024: x.1.90 daily recipients, x.7.232, x.7.233 and x.7.236 the tenant's external
# recipients, x.7.705 the tenant's threshold.
_USED_UP = frozenset({"4.5", "1.90", "7.28", "7.232", "7.233", "7.236", "7.705"})
# The same list of Microsoft's: x.7.54 and x.7.64 relaying, x.7.57 not authenticated, x.7.60 may not send as this
# sender, x.7.750 unregistered domain.
_NOT_OURS = frozenset({"7.54", "7.57", "7.60", "7.64", "7.750"})

_PROVIDER = (
    # RFC 5321 section 3.8: 421 may come at any time and closes the channel. After the dot, too, it says that the
    # message was not taken: it is for another connection, or for another provider.
    _About(421, 421, _ANYWHERE, "connection"),
    # Some refuse the login when what may be sent is used up; then nothing is wrong with the password.
    _About(400, 599, frozenset({"auth"}), "quota", about="account"),
    # RFC 4954 section 6: authentication required, too weak, rejected, needs encryption.
    _About(530, 530, _ANYWHERE, "configuration"),
    _About(534, 535, _ANYWHERE, "configuration"),
    _About(538, 538, _ANYWHERE, "configuration"),
    # RFC 3207 section 4: TLS not available.
    _About(454, 454, frozenset({"starttls"}), "configuration"),
    _About(454, 454, _TRANSACTION, "quota", _QUOTA),
    _About(454, 454, _TRANSACTION, "throttled", _THROTTLING),
    # RFC 4954 section 6: a password transition is needed.
    _About(432, 432, frozenset({"auth"}), "configuration"),
    # RFC 4954 section 6: 454 in answer to AUTH is the server's own, temporary failure.
    _About(400, 499, frozenset({"starttls", "auth"}), "connection"),
    _About(500, 599, frozenset({"starttls", "auth"}), "configuration"),
    _About(500, 599, _TRANSACTION, "quota", details=_USED_UP),
    _About(500, 599, _TRANSACTION, "configuration", details=_NOT_OURS),
    _About(400, 599, _TRANSACTION, "configuration", about="settings"),
    _About(400, 599, _TRANSACTION, "quota", about="account"),
    # A permanent code with words of "later": the words are believed, for a lost email costs more than a late one.
    _About(500, 599, _TRANSACTION, "connection", about="connection"),
    # RFC 7504: 554 or 521 instead of a greeting is the host's refusal to speak with us, not with a recipient.
    _About(400, 599, _OPENING, "connection"),
)


@dataclass(frozen=True, slots=True)
class _Means:
    """A reply that speaks of a recipient or the message.

    `details`: the enhanced code without its class is one of these; `but`: and it is none like this.
    """

    verdict: Verdict
    first: int
    last: int
    stages: frozenset[Stage] = _ANYWHERE
    details: frozenset[str] | None = None
    but: re.Pattern[str] | None = None


_RCPT = frozenset[Stage]({"rcpt"})
# RFC 3463: x.1.7 and x.1.8 are about the sender's address, x.7.y is about what the sender may do. Postfix says the
# latter to RCPT (reject_sender_login_mismatch): "553 5.7.1 Sender address rejected: not owned by user". A bounce there
# would blame, and suppress, somebody who has nothing to do with it.
_ABOUT_THE_SENDER = re.compile(r"1\.[78]|7\.\d+")
_RECIPIENT = (
    # RFC 5321 section 6.1: from its 2yz on the relay is responsible, whatever the text says.
    _Means("accepted", 200, 299),
    _Means("deferred", 400, 499),
    # RFC 5321 section 4.5.3.1.10: too many recipients, once written as 552, means "in another transaction".
    _Means("deferred", 552, 552, _RCPT, details=frozenset({"5.3"})),
    # Only what says that there is no such address is a bounce.
    _Means("bounced", 500, 599, _RCPT, details=frozenset({"1.1", "1.2", "1.3", "1.6", "1.10"})),
    _Means("bounced", 551, 551, _RCPT, but=_ABOUT_THE_SENDER),
    _Means("bounced", 553, 553, _RCPT, but=_ABOUT_THE_SENDER),
    _Means("failed", 500, 599),
)


def enhanced_status(text: str) -> str | None:
    """The enhanced code a reply begins with, for instance `5.1.1`; None when there is none."""
    found = _ENHANCED.match(text)
    return found.group(1) if found else None


def disagree(code: int, enhanced: str | None) -> bool:
    """A refusal whose two codes name different classes: one of them is a mistake, so it is not final."""
    return enhanced is not None and code >= 400 and code // 100 != int(enhanced[0])


def verdict(stage: Stage, code: int, enhanced: str | None) -> Verdict:
    """The outcome that a 2yz, 4yz or 5yz reply at `stage` has for its recipients."""
    if disagree(code, enhanced):
        return "deferred"
    detail = enhanced[2:] if enhanced else ""
    for row in _RECIPIENT:
        fits = row.first <= code <= row.last and stage in row.stages
        excepted = row.but is not None and row.but.fullmatch(detail)
        if fits and not excepted and (row.details is None or detail in row.details):
            return row.verdict
    raise ValueError(f"{code} is no answer to a recipient")


def recipient_reply(address: str, stage: Stage, code: int, text: str) -> RecipientReply:
    """The same, as the port says it; `text` must be clean."""
    enhanced = enhanced_status(text)
    return RecipientReply(address, verdict(stage, code, enhanced), code, enhanced, text)


def provider_trouble(stage: Stage, code: int, text: str) -> Trouble | None:
    """The trouble a reply at `stage` speaks of; None when it is about recipients. `text` must be clean."""
    if code < 400:
        return None
    enhanced = enhanced_status(text)
    detail = enhanced[2:] if enhanced else ""
    about = speaks_of(text) if detail not in _ABOUT_THE_MAIL else None
    for row in _PROVIDER:
        if (
            row.first <= code <= row.last
            and stage in row.stages
            and (row.words is None or row.words.search(text))
            and (row.details is None or detail in row.details)
            and (row.about is None or row.about == about)
        ):
            return Trouble(row.kind, text, code, enhanced)
    return None
