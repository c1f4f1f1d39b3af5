"""Wordings by which providers speak of our account or our settings under codes that say something else.

Data, asked last: a code or an enhanced code that names the reason wins. Each wording has its source and the year in
which it was seen there. The examples are tested in `tests/unit/common/relay/test_wordings.py`.
"""

import re
from dataclasses import dataclass
from typing import Literal

About = Literal["account", "settings", "connection"]
"""`account`: what we may send is used up for now. `settings`: the provider does not know us as somebody whose mail it
takes, until a setting is changed. `connection`: not now; nothing says that it is our doing."""


@dataclass(frozen=True, slots=True)
class Wording:
    """A pattern, and where it was seen. `example` is a provider's own text."""

    about: About
    pattern: str
    source: str
    example: str


_SENDING = r"(?:daily|hourly|monthly|sending|send|submission|outgoing|outbound|relay|rate|messages?(?! size)|messaging)"

WORDINGS: tuple[Wording, ...] = (
    Wording(
        "settings",
        r"relay(?:ing)? (?:access )?(?:denied|prohibited|not (?:permitted|allowed))|\bno relaying\b",
        "Postfix smtpd.c, since 1999; Exim's default configuration ('relay not permitted'), 2023",
        "554 5.7.1 <bob@example.com>: Relay access denied",
    ),
    Wording("settings", r"unable to relay", "Microsoft, NDR 5.7.54, 2024", "550 5.7.54 SMTP; Unable to relay"),
    Wording(
        "settings",
        r"(?:client was|client|sender) not authenticated|authentication (?:is )?required|must (?:first )?authenticate",
        "Microsoft, NDR 5.7.57, 2024; Exim and Sendmail deployments, 2022",
        "550 5.7.1 Authentication required",
    ),
    Wording(
        "settings",
        r"(?:not (?:allowed|permitted|authori[sz]ed)|permissions?) to send as",
        "Microsoft, NDR 5.7.60, 2024",
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
    ),
    Wording(
        "settings",
        r"bad outbound sender|(?:account|user) (?:has been |is |was )?(?:suspended|disabled|blocked) from sending",
        "Microsoft, NDR 5.1.8, 2024",
        "550 5.1.8 Access denied, bad outbound sender AS(42003)",
    ),
    Wording(
        "account",
        r"submissionquotaexceeded|submission quota (?:was |is )?exceeded",
        "Microsoft, STOREDRV.Submission in NDR 5.2.0, 2023",
        "554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException",
    ),
    Wording(
        "account",
        rf"{_SENDING}\b[^.;]{{0,60}}"
        r"\b(?:limit|quota)s?\b[^.;]{0,40}\b(?:exceeded|reached|used up)",
        "Google, 'SMTP errors and codes' (5.4.5), 2024; IONOS, 2023",
        "550 5.4.5 Daily user sending limit exceeded",
    ),
    Wording(
        "account",
        r"\b(?:exceed(?:ed|s)|reached|over)\b[^.;]{0,60}"
        rf"\b{_SENDING}\b"
        r"[^.;]{0,40}"
        r"\b(?:limit|quota)s?\b",
        "Microsoft, NDR 5.1.90, 2024; SendGrid, 2023",
        "550 5.1.90 You have reached your daily limit for message recipients",
    ),
    Wording(
        "account",
        r"exceeded the max(?:imum)? (?:emails|messages|defers)\b.{0,40}per (?:hour|day)",
        "cPanel/WHM with Exim, 2022",
        "550 Domain shop.example has exceeded the max emails per hour (500/500 (100%)) allowed.",
    ),
    Wording(
        "account",
        r"maximum credits exceeded|(?:ran )?out of credits",
        "SendGrid, 2021; Postmark, 2023",
        "451 Authentication failed: Maximum credits exceeded",
    ),
    Wording(
        "account",
        r"unusual sending activity",
        "Zoho Mail, 2023",
        "550 5.4.6 Unusual sending activity detected. Please try after sometime.",
    ),
    Wording(
        "connection",
        r"\btry(?:ing)? (?:again )?(?:later|in \d+|after some ?time)|will be re-?attempted"
        r"|temporarily (?:deferred|blocked|rate)",
        "cPanel/WHM with Exim, 2022; Yahoo, 2023",
        "554 Your message could not be sent, please try again later",
    ),
)  # fmt: skip

_COMPILED = tuple((each.about, re.compile(each.pattern, re.IGNORECASE)) for each in WORDINGS)


def speaks_of(text: str) -> About | None:
    """The subject of a provider's text, by the known wordings; None if none matches."""
    return next((about for about, pattern in _COMPILED if pattern.search(text)), None)
