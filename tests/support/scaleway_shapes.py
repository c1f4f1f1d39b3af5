"""The objects and errors of Scaleway's Transactional Email API as it writes them.

Source: the SDKs' types (scaleway-sdk-python, tem/v1alpha1, 2026-08) and recorded traffic (terraform-provider-scaleway,
internal/services/tem/testdata, 2025-10). Test suites hold the official client to them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

ORGANIZATION = "5f6a1d2e-6e2b-4c3f-9d0b-1f2e3d4c5b6a"
DKIM = "v=DKIM1; h=sha256; k=rsa; p=MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A"
SPF = "include:_spf.tem.scaleway.com"

_ADDRESS = re.compile(r"[^@\s<>\"]+@[a-z0-9-]+(\.[a-z0-9-]+)+", re.IGNORECASE)
LARGEST = 2_000_000
MOST_RECIPIENTS = MOST_ATTACHMENTS = SHORTEST = 10

Answer = tuple[int, Mapping[str, Any]]
"""Status and JSON body."""


def now() -> str:
    """With nanoseconds, as Go writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f") + "147Z"


# ----------------------------------------------------------------------------------------------------------- errors


@dataclass(frozen=True, slots=True)
class Act:
    """What the server does in place of answering, or before. `carry_out`: the request takes effect all the same."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    then: Literal["answer", "hang", "close", "cut", "trickle"] = "answer"
    """`cut`: half of the body, then the connection is closed. `trickle`: a byte now and then, for ever."""
    carry_out: bool = False
    delay: float = 0
    """Seconds before; with no status of its own the answer is the usual one."""
    usual: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


def denied(reason: Literal["not_found", "invalid_argument", "expired"] = "not_found") -> Answer:
    words = "authentication is denied"
    return 401, {"message": words, "method": "api_key", "reason": reason, "type": "denied_authentication"}


def forbidden(action: str = "write", resource: str = "email") -> Answer:
    details = [{"action": action, "resource": resource}]
    return 403, {"details": details, "message": "insufficient permissions", "type": "permissions_denied"}


def over_quota(resource: str = "MonthlyEmails", quota: int = 10_000) -> Answer:
    details = [{"resource": resource, "quota": quota, "current": quota}]
    return 403, {"type": "quotas_exceeded", "message": "quota(s) exceeded for this resource", "details": details}


def not_found(resource: str, resource_id: str) -> Answer:
    words = "resource is not found"
    return 404, {"message": words, "resource": resource, "resource_id": resource_id, "type": "not_found"}


def invalid(*details: tuple[str, str, str]) -> Answer:
    """Each with the argument's name, the reason (unknown, required, format, constraint) and the help message."""
    named = [{"argument_name": name, "reason": reason, "help_message": words} for name, reason, words in details]
    return 400, {"type": "invalid_arguments", "message": "invalid argument(s)", "details": named}


def precondition(words: str, kind: str = "resource_not_usable") -> Answer:
    failed = {"type": "precondition_failed", "precondition": kind, "help_message": words}
    return 412, {**failed, "message": "precondition failed"}


def transient(resource: str, resource_id: str, state: str) -> Answer:
    where = {"resource": resource, "resource_id": resource_id, "current_state": state}
    return 409, {"type": "transient_state", "message": "resource is in a transient state", **where}


def locked(resource: str, resource_id: str) -> Answer:
    return 423, {"type": "locked", "message": "resource is locked", "resource": resource, "resource_id": resource_id}


# ----------------------------------------------------------------------------------------------------------- emails


def wrong_with(body: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What is wrong with a request to send, as details of `invalid_arguments`."""
    found: list[tuple[str, str, str]] = []
    sender = (body.get("from") or {}).get("email", "")
    if not _ADDRESS.fullmatch(sender):
        found.append(("from", "format", f'Invalid email from address: "{sender}"'))
    addresses = [each.get("email", "") for _, each in recipients_of(body)]
    found += [
        ("rcpt", "format", f'Invalid email recipient address: "{address}"')
        for address in addresses
        if not _ADDRESS.fullmatch(address)
    ]
    if not addresses:
        found.append(("rcpt", "required", "At least one recipient is required"))
    if len(addresses) > MOST_RECIPIENTS:
        found.append(("rcpt", "constraint", f"The number of recipients must be at most {MOST_RECIPIENTS}"))
    if len(body.get("attachments") or []) > MOST_ATTACHMENTS:
        found.append(("attachments", "constraint", f"The number of attachments must be at most {MOST_ATTACHMENTS}"))
    if not body.get("text") and not body.get("html"):
        found.append(("text", "required", "A text or an html content is required"))
    found += [
        (name, "constraint", f"The {name} must have at least {SHORTEST} characters")
        for name in ("subject", "text", "html")
        if (body.get(name) or name == "subject") and len(body.get(name) or "") < SHORTEST
    ]
    return found


def recipients_of(body: Mapping[str, Any]) -> list[tuple[str, Mapping[str, str]]]:
    """Every recipient with its kind, in the order of the answer."""
    return [(kind, each) for kind in ("to", "cc", "bcc") for each in body.get(kind) or []]


def new_email(body: Mapping[str, Any], kind: str, address: str, message_id: str, status: str) -> dict[str, Any]:
    """One recipient's email; the answer to a request has one for each."""
    at = now()
    return {
        "id": str(uuid4()),
        "message_id": message_id,
        "project_id": body["project_id"],
        "mail_from": body["from"]["email"],
        "rcpt_to": address,
        "mail_rcpt": address,
        "rcpt_type": kind,
        "subject": body["subject"],
        "created_at": at,
        "updated_at": at,
        "status": status,
        "status_details": "not yet processed",
        "try_count": 0,
        "last_tries": [],
        "flags": [],
    }


def delivered(email: dict[str, Any]) -> None:
    """It has reached its recipient's server."""
    tried = {"rank": 1, "tried_at": now(), "code": 250, "message": "Ok"}
    email.update(status="sent", status_details="success", try_count=1, last_tries=[tried], updated_at=now())


# ---------------------------------------------------------------------------------------------------------- domains


def new_domain(name: str, project_id: str, *, autoconfig: bool = False, status: str = "unchecked") -> dict[str, Any]:
    return {
        "autoconfig": autoconfig,
        "created_at": now(),
        "dkim_config": DKIM,
        "id": str(uuid4()),
        "last_error": None,
        "last_valid_at": None,
        "name": name,
        "next_check_at": None,
        "organization_id": ORGANIZATION,
        "project_id": project_id,
        "records": {
            "dkim": {"name": f"{project_id}._domainkey.{name}.", "value": DKIM},
            "dmarc": {"name": f"_dmarc.{name}.", "value": "v=DMARC1; p=none"},
            "mx": {"name": f"{name}.", "value": "10 blackhole.tem.scaleway.com."},
            "spf": {"name": f"{name}.", "value": f"v=spf1 {SPF} -all"},
        },
        "region": "fr-par",
        "reputation": {
            "previous_score": None,
            "previous_scored_at": None,
            "score": 100,
            "scored_at": now(),
            "status": "excellent",
        },
        "revoked_at": None,
        "spf_config": SPF,
        "statistics": {"canceled_count": 0, "failed_count": 0, "sent_count": 0, "total_count": 0},
        "status": status,
    }


def verification(domain: Mapping[str, Any], *, published: bool, missing: Sequence[str] = ()) -> dict[str, Any]:
    """What the last check found of each record; those `missing` are not there though the others are."""

    def record(kind: str) -> dict[str, Any]:
        if published and kind not in missing:
            return {"status": "valid", "last_valid_at": now(), "error": None}
        return {"status": "not_found", "last_valid_at": None, "error": f"no {kind.upper()} record found"}

    return {
        "domain_id": domain["id"],
        "domain_name": domain["name"],
        **{f"{kind}_record": record(kind) for kind in ("spf", "dkim", "dmarc", "mx")},
        "autoconfig_state": {"enabled": domain["autoconfig"], "autoconfigurable": False, "reason": "domain_not_found"},
    }
