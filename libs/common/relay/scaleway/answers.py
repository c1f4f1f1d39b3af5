"""Scaleway's words to ours: what an answer means for the provider, the message and each recipient.

Errors are told apart by their `type` first and by status only where there is none: a gateway in front of the API
answers too, as HTML or plain text. Which types there are: scaleway-sdk-go, `scw/errors.go` (2026). What they mean for a
message is documented nowhere; each row whose meaning is our judgement says what it is built on.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from libs.common.relay.port import RecipientReply, SendResult, Submission, Trouble, answered, troubled, unknown
from libs.common.relay.redact import redact
from libs.common.relay.scaleway.call import Answer
from libs.common.relay.wordings import speaks_of

Meaning = Literal["configuration", "quota", "throttled", "connection", "deferred", "failed", "unknown"]
"""The provider's trouble of that kind, the message's delay or failure, or nobody knows."""

_TYPES: Mapping[str, Meaning] = {
    "denied_authentication": "configuration",
    "permissions_denied": "configuration",
    # 403, with `details` of quota, limit and current (errors.go): 10,000 emails a month unless raised (Scaleway's docs,
    # "Transactional Email capabilities and limits", 2025-10-29).
    "quotas_exceeded": "quota",
    "too_many_requests": "throttled",
    # 400: an address, a text shorter than ten characters (django-anymail's notes on Scaleway, 2026).
    "invalid_arguments": "failed",
    # 412: the domain is not checked, or not in this project (recorded for terraform-provider-scaleway, 2025-10-28).
    "precondition_failed": "failed",
    # 410: what is asked for is gone, and will not come back (errors.go).
    "resource_expired": "failed",
    # 409 and 423: the sending domain is being worked on (errors.go), so this mail waits. Our judgement: that is no
    # reason for another provider to take over.
    "transient_state": "deferred",
    "locked": "deferred",
}
_STATUSES: Mapping[int, Meaning] = {
    401: "configuration",
    402: "configuration",
    403: "configuration",
    404: "configuration",  # a project, a region or a URL that there is not
    408: "connection",  # the request did not arrive whole (RFC 9110 section 15.5.9)
    409: "deferred",
    423: "deferred",
    429: "throttled",  # RFC 6585 section 4; the gateway's, as plain text or HTML
    # 500, 503 and their kin are the API's own word that it has not done it, as 451 after the final dot is: back off.
    # 502 and 504 are a gateway's word that it has not heard from the API, which may have taken the message
    # (RFC 9110 sections 15.6.3 and 15.6.5).
    502: "unknown",
    504: "unknown",
}
_CLASSES: Mapping[int, Meaning] = {3: "connection", 4: "failed", 5: "connection"}

_SETTINGS = frozenset({"project_id", "region"})
_RECIPIENTS = frozenset({"rcpt", "to", "cc", "bcc", "recipient", "mail_rcpt"})
_QUOTED = re.compile(r'"([^"]*)"')
_NOT_TAKEN = frozenset({"failed", "canceled"})


def meaning(answer: Answer) -> Meaning:
    """Classifies an answer other than 2xx."""
    if answer.type == "not_found" and (answer.content or {}).get("resource") == "domain":
        return "failed"
    if answer.type == "invalid_arguments" and _arguments(answer) & _SETTINGS:
        return "configuration"
    by_type = _TYPES.get(answer.type)
    if by_type == "failed" and speaks_of(words(answer, ())) == "account":
        return "quota"
    return by_type or _STATUSES.get(answer.status) or _CLASSES.get(answer.status // 100, "connection")


def trouble_of(answer: Answer, secrets: tuple[str, ...]) -> Trouble | None:
    """The provider's trouble, None when it is not the provider that an answer speaks of."""
    kind = meaning(answer)
    if kind == "deferred" or kind == "failed":  # noqa: PLR1714 - what is left is narrowed for the type checker
        return None
    return Trouble("connection" if kind == "unknown" else kind, words(answer, secrets))


def words(answer: Answer, secrets: tuple[str, ...]) -> str:
    """The answer's text for people: its message, then every detail."""
    content = answer.content or {}
    said = [_text(content.get(name)) for name in ("message", "precondition", "help_message", "reason", "current_state")]
    for detail in _details(answer):
        said.append(" ".join(_text(detail.get(name)) for name in ("argument_name", "reason", "help_message")))
        said.append(" ".join(_text(detail.get(name)) for name in ("action", "resource", "quota")))
    text = "; ".join(each.strip() for each in said if each.strip()) or answer.text
    return redact(f"{answer.status} {answer.type} {text}".replace("  ", " "), secrets)


def send_result(submission: Submission, answer: Answer, secrets: tuple[str, ...]) -> SendResult:
    """How the hand-over ended."""
    if answer.status // 100 == 2:
        return _taken(submission, answer, secrets)
    kind = meaning(answer)
    if kind == "unknown":
        return unknown(words(answer, secrets))
    trouble = trouble_of(answer, secrets)
    if trouble is not None:
        return troubled(trouble)
    return answered(_refused(submission, answer, "deferred" if kind == "deferred" else "failed", secrets), None)


# ---------------------------------------------------------------------------------------------------------- refused


def _refused(
    submission: Submission, answer: Answer, verdict: Literal["deferred", "failed"], secrets: tuple[str, ...]
) -> tuple[RecipientReply, ...]:
    """A call is refused whole: nobody got it, and those who are not named for it are tried again without the others."""
    text, named = words(answer, secrets), _named(submission, answer)
    others = f"nothing was sent, for another recipient was refused: {text}"[:512]
    return tuple(
        RecipientReply(address, verdict, None, None, text)
        if not named or address in named
        else RecipientReply(address, "deferred", None, None, others)
        for address in submission.recipients
    )


def _named(submission: Submission, answer: Answer) -> frozenset[str]:
    """The recipients that are all that is wrong with the request; empty when it is something else, or unclear."""
    if answer.type != "invalid_arguments" or not _arguments(answer) or not _arguments(answer) <= _RECIPIENTS:
        return frozenset()
    quoted = {word for detail in _details(answer) for word in _QUOTED.findall(_text(detail.get("help_message")))}
    return frozenset(address for address in submission.recipients if address in quoted)


def _arguments(answer: Answer) -> frozenset[str]:
    """`to[0].email` is about `to`."""
    names = (re.split(r"[.\[]", _text(detail.get("argument_name")))[0] for detail in _details(answer))
    return frozenset(name for name in names if name)


# ------------------------------------------------------------------------------------------------------------ taken


def _taken(submission: Submission, answer: Answer, secrets: tuple[str, ...]) -> SendResult:
    """Every recipient's own object is its receipt; an answer without any is none."""
    emails = _objects((answer.content or {}).get("emails"))
    if not emails:
        return unknown(f"{answer.status}, but no email is named in the answer")
    receipts = _receipts(submission, emails)
    replies = tuple(_reply(address, receipts.get(address), secrets) for address in submission.recipients)
    taken = [reply.provider_message_id for reply in replies if reply.outcome == "accepted"]
    return answered(replies, taken[0] if taken else None)


def _receipts(submission: Submission, emails: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """By address; where one comes back written otherwise, those that are left belong together in their order."""
    found: dict[str, Mapping[str, Any]] = {}
    left = emails
    # The exact spelling first: `Ann@` and `ann@` may be two people (RFC 5321 section 2.4).
    for spelling in (str, str.lower):
        unmatched = []
        for email in left:
            written = spelling(_text(email.get("mail_rcpt")) or _text(email.get("rcpt_to")))
            matches = (each for each in submission.recipients if each not in found and spelling(each) == written)
            address = next(matches, None)
            if address is None:
                unmatched.append(email)
            else:
                found[address] = email
        left = unmatched
    missing = [address for address in submission.recipients if address not in found]
    return found | dict(zip(missing, left, strict=True)) if len(missing) == len(left) else found


def _reply(address: str, email: Mapping[str, Any] | None, secrets: tuple[str, ...]) -> RecipientReply:
    if email is None:
        # The others' receipts show that the answer is whole: this one was not taken, so it is sent nothing twice.
        return RecipientReply(address, "deferred", None, None, "Scaleway's answer does not name this recipient")
    said = [_text(email.get("status")), _text(email.get("status_details"))]
    flags = email.get("flags")
    said += [_text(flag) for flag in flags] if isinstance(flags, list) else []
    text = redact(": ".join(each for each in said if each), secrets)
    if said[0] in _NOT_TAKEN:
        return RecipientReply(address, "failed", None, None, text)
    return RecipientReply(address, "accepted", None, None, text, redact(_text(email.get("id")), secrets) or None)


def _details(answer: Answer) -> list[Mapping[str, Any]]:
    return _objects((answer.content or {}).get("details"))


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: object) -> str:
    return str(value) if isinstance(value, str | int) else ""
