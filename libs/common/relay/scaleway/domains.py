"""From a domain as Scaleway describes it to an identity: which records there have to be, and what was found of them.

Every part of the description is optional: `records` once had DMARC alone (2024, its name relative) and is null after
a revocation. Absolute names end with a dot. The DKIM selector is the project's id.
"""

from collections.abc import Mapping
from typing import Any, Literal

from libs.common.facts.domain import DnsRecord, DomainStatus
from libs.common.relay.port import Identity
from libs.common.relay.redact import redact

RecordStatus = Literal["unknown", "verified", "pending", "failed"]

_STATUSES: Mapping[str, DomainStatus] = {
    "checked": "verified",
    "unchecked": "pending",
    "pending": "pending",
    "autoconfiguring": "pending",
    "invalid": "failed",
    "locked": "failed",
    "revoked": "failed",
}
_RECORD_STATUSES: Mapping[str, RecordStatus] = {"valid": "verified", "invalid": "failed", "not_found": "pending"}
_REASONS: Mapping[str, str] = {
    "locked": "Scaleway has locked this domain, its support knows why",
    "revoked": "this domain was revoked at Scaleway",
    "invalid": "Scaleway found the domain's records invalid",
}
_KINDS: tuple[tuple[str, Literal["TXT", "MX"], bool], ...] = (
    ("spf", "TXT", True),
    ("dkim", "TXT", True),
    ("mx", "MX", False),
    ("dmarc", "TXT", False),
)

Json = Mapping[str, Any]


def identity(name: str, domain: Json, verification: Json | None = None) -> Identity:
    """`verification` is what the last check found; without it nothing is said of any record."""
    status = _STATUSES.get(_text(domain.get("status")), "pending")
    found = verification or {}
    records = tuple(
        record
        for kind, record_type, required in _KINDS
        if (record := _record(kind, record_type, name, domain, _part(found, f"{kind}_record"), required)) is not None
    )
    return Identity(status, records, None if status == "verified" else _error(domain, found, status))


def _record(
    kind: str,
    record_type: Literal["TXT", "MX"],
    name: str,
    domain: Json,
    seen: Json,
    required: bool,  # noqa: FBT001
) -> DnsRecord | None:
    given = _part(_part(domain, "records"), kind)
    usual = _usual_name(kind, name, domain)
    value = _text(given.get("value")) or _fallback(kind, domain)
    if not value or not usual:
        return None
    priority, value = _mail_exchanger(value) if record_type == "MX" else (None, value)
    return DnsRecord(
        record_type=record_type,
        name=_absolute(_text(given.get("name")), name) or usual,
        value=value,
        priority=priority,
        status=_RECORD_STATUSES.get(_text(seen.get("status")), "unknown"),
        required=required,
    )


def _usual_name(kind: str, name: str, domain: Json) -> str:
    project_id = _text(domain.get("project_id"))
    usual = {
        "spf": name,
        "mx": name,
        "dkim": f"{project_id}._domainkey.{name}" if project_id else "",
        "dmarc": f"_dmarc.{name}",
    }
    return usual[kind]


def _absolute(given: str, name: str) -> str:
    """Without its dot; "" for one that is relative to something we do not know."""
    plain = given.rstrip(".").lower()
    return plain if plain == name or plain.endswith(f".{name}") else ""


def _fallback(kind: str, domain: Json) -> str:
    """Values from older members. `spf_config` is a mechanism, for instance `include:…` (RFC 7208 section 5)."""
    mechanism = _text(domain.get("spf_config"))
    fallbacks = {
        "spf": f"v=spf1 {mechanism} -all" if mechanism else "",
        "dkim": _text(domain.get("dkim_config")),
        "dmarc": "v=DMARC1; p=none",
    }
    return fallbacks.get(kind, "")


def _mail_exchanger(value: str) -> tuple[int | None, str]:
    """`10 host.` is preference and host (RFC 1035 section 3.3.9)."""
    preference, _, host = value.strip().partition(" ")
    if preference.isdecimal() and host:
        return int(preference), host.strip().rstrip(".")
    return None, value.strip().rstrip(".")


def _error(domain: Json, found: Json, status: DomainStatus) -> str | None:
    missing = [
        f"{kind.upper()}: {error}"
        for kind, _, required in _KINDS
        if required and (error := _text(_part(found, f"{kind}_record").get("error")))
    ]
    reason = _REASONS.get(_text(domain.get("status")), "") if status == "failed" else ""
    text = "; ".join(each for each in (reason, _text(domain.get("last_error")), *missing) if each)
    return redact(text) or None


def _part(whole: Json, name: str) -> Json:
    """A member that is an object; empty when it is null, absent or something else."""
    found = whole.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
