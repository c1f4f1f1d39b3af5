"""A sending domain in SES' words and in ours, as pure functions of its answers."""

from collections.abc import Mapping
from typing import Any, Literal

from libs.common.facts.domain import DnsRecord, DomainStatus
from libs.common.relay.port import Identity

RecordStatus = Literal["unknown", "verified", "pending", "failed"]
Answer = Mapping[str, Any]
"""The answer of CreateEmailIdentity or GetEmailIdentity."""

_STATUS: Mapping[str, DomainStatus] = {
    "PENDING": "pending",
    "SUCCESS": "verified",
    "FAILED": "failed",
    "TEMPORARY_FAILURE": "temporary_failure",
    "NOT_STARTED": "not_started",
}
# A temporary failure: it was found before and is looked for again.
_RECORD: Mapping[str, RecordStatus] = {
    "PENDING": "pending",
    "SUCCESS": "verified",
    "FAILED": "failed",
    "TEMPORARY_FAILURE": "pending",
}
# VerificationInfo.ErrorType, in words.
_ERRORS: Mapping[str, str] = {
    "SERVICE_ERROR": "an error of its own",
    "DNS_SERVER_ERROR": "the domain's name server could not be reached or answered with an error",
    "HOST_NOT_FOUND": "the domain's name server does not know the DKIM records",
    "TYPE_NOT_FOUND": "the names of the DKIM records exist, but hold no CNAME",
    "INVALID_VALUE": "the DKIM records have other values",
}

# Regions whose DKIM keys are not at dkim.amazonses.com (AWS General Reference, SES endpoints, "DKIM domains").
_OWN_DKIM_ZONE = frozenset(
    {
        "af-south-1", "ap-northeast-3", "ap-south-2", "ap-southeast-3", "ap-southeast-5", "ca-west-1", "eu-central-2",
        "eu-south-1", "il-central-1", "me-central-1", "us-gov-east-1",
    }
)  # fmt: skip


def mail_from(domain: str) -> str:
    """The custom MAIL FROM domain that we ask for."""
    return f"send.{domain}"


def mail_from_set(answer: Answer) -> bool:
    """True if the identity has a custom MAIL FROM domain, set by us or by its owner."""
    return bool(answer.get("MailFromAttributes", {}).get("MailFromDomain"))


def identity(domain: str, region: str, answer: Answer, *, mail_from_error: str | None = None) -> Identity:
    """The domain as `answer` describes it. `mail_from_error` is why its MAIL FROM could not be set."""
    dkim: Answer = answer.get("DkimAttributes", {})
    attributes: Answer = answer.get("MailFromAttributes", {})
    sender = attributes.get("MailFromDomain") or mail_from(domain)
    said = str(attributes.get("MailFromDomainStatus", ""))
    # MailFromDomainStatus speaks of the MX alone: SES never looks at SPF, and sends without the MX all the same.
    spf: RecordStatus = "failed" if mail_from_error else "unknown"
    mx: RecordStatus = "failed" if mail_from_error else _RECORD.get(said, "unknown")
    feedback = f"feedback-smtp.{region}.amazonses.com"
    status = _status(answer)
    return Identity(
        status,
        records=(
            _record("TXT", sender, "v=spf1 include:amazonses.com ~all", spf, required=True),
            _record("MX", sender, feedback, mx, priority=10),
            *_dkim_records(domain, region, dkim),
            # RFC 7489 section 6.3: informational, for the owner of a domain without a policy.
            _record("TXT", f"_dmarc.{domain}", "v=DMARC1; p=none;", "unknown"),
        ),
        error="; ".join(error for error in (_error(status, answer), mail_from_error) if error) or None,
    )


def _dkim_records(domain: str, region: str, dkim: Answer) -> tuple[DnsRecord, ...]:
    if dkim.get("SigningAttributesOrigin") == "EXTERNAL":
        return ()  # its owner brought a key (BYODKIM): the record is the owner's, and no CNAME
    own = f"dkim.{region}.amazonses.com" if region in _OWN_DKIM_ZONE else "dkim.amazonses.com"
    zone = dkim.get("SigningHostedZone") or own
    status = _RECORD.get(str(dkim.get("Status", "")), "unknown")
    return tuple(
        _record("CNAME", f"{token}._domainkey.{domain}", f"{token}.{zone}", status, required=True)
        for token in dkim.get("Tokens", ())
    )


def _status(answer: Answer) -> DomainStatus:
    """CreateEmailIdentity says no more than whether it may be sent from already."""
    otherwise: DomainStatus = "verified" if answer.get("VerifiedForSendingStatus") else "pending"
    return _STATUS.get(str(answer.get("VerificationStatus", "")), otherwise)


def _error(status: DomainStatus, answer: Answer) -> str | None:
    seen = str(answer.get("VerificationInfo", {}).get("ErrorType", ""))
    if status in {"verified", "pending", "not_started"}:
        return None
    if not seen:
        return "SES did not find the DKIM records" if status == "failed" else "SES no longer finds the DKIM records"
    return f"SES could not verify the domain: {_ERRORS.get(seen, seen)}"


def _record(
    kind: Literal["TXT", "CNAME", "MX"],
    name: str,
    value: str,
    status: RecordStatus,
    *,
    priority: int | None = None,
    required: bool = False,
) -> DnsRecord:
    return DnsRecord(record_type=kind, name=name, value=value, priority=priority, status=status, required=required)
