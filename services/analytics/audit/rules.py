"""Names each audited operation and its details: one table from fact type to operation.

Details are chosen member by member, so nothing gets into the trail because a fact grew: no credentials (not even
masked ones), no hashes, no bodies, no subject and no recipients of an email.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Details = Callable[[Mapping[str, Any]], dict[str, Any]]

EMAIL_SENT: Final = "EMAIL_SENT"
"""Accepted or captured: somebody asked for an email to be sent. What became of it is in its timeline."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`details` makes the answer's `details` of a fact's data."""

    name: str
    details: Details


def _chosen(member: str, names: Mapping[str, str], *beside: str) -> Details:
    """Members of the state in `member`, under our names, and members that stand beside it in the fact."""

    def details(data: Mapping[str, Any]) -> dict[str, Any]:
        state = data[member]
        return {ours: state.get(its) for ours, its in names.items()} | {name: data.get(name) for name in beside}

    return details


_PROVIDER = {"provider_id": "id", "name": "name", "provider_type": "provider_type", "region": "region"}
_DOMAIN = {"domain_id": "id", "domain": "domain", "provider_id": "provider_id", "status": "status"}
_KEY = {"key_id": "id", "name": "name", "role": "role", "scopes": "scopes", "user_id": "user_id"}
_USER = {"user_id": "id", "email": "email", "name": "name", "role": "role", "is_active": "is_active"}


def _provider(*beside: str) -> Details:
    plain = _chosen("provider", _PROVIDER, *beside)

    def details(data: Mapping[str, Any]) -> dict[str, Any]:
        found, smtp = plain(data), data["provider"].get("smtp")
        if smtp and smtp.get("accept_invalid_certs"):  # whoever can listen in may read the password: never silently
            found["accept_invalid_certs"] = True
        return found

    return details


def _stopped(data: Mapping[str, Any]) -> dict[str, Any]:
    return _provider()(data) | {"reason": (data["provider"].get("stopped") or {}).get("reason")}


def _sent(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data.get(name) for name in ("email_id", "from_address", "recipient_count")}


OPERATIONS: Mapping[str, Operation] = {
    "provider.created.v1": Operation("EMAIL_PROVIDER_CREATED", _provider()),
    "provider.updated.v1": Operation("EMAIL_PROVIDER_UPDATED", _provider("changed_fields")),
    "provider.deleted.v1": Operation("EMAIL_PROVIDER_DELETED", _provider("forced")),
    "provider.tested.v1": Operation("EMAIL_PROVIDER_TESTED", _provider("recipient_email", "success", "error")),
    "provider.stopped.v1": Operation("EMAIL_PROVIDER_STOPPED", _stopped),
    "provider.resumed.v1": Operation("EMAIL_PROVIDER_RESUMED", _provider()),
    "domain.created.v1": Operation("EMAIL_DOMAIN_CREATED", _chosen("domain", _DOMAIN)),
    "domain.verified.v1": Operation("EMAIL_DOMAIN_VERIFIED", _chosen("domain", _DOMAIN)),
    "domain.verification_failed.v1": Operation(
        "EMAIL_DOMAIN_VERIFICATION_FAILED",
        _chosen("domain", _DOMAIN | {"verification_error": "verification_error"}),
    ),
    "domain.deleted.v1": Operation("EMAIL_DOMAIN_DELETED", _chosen("domain", _DOMAIN)),
    "email.accepted.v1": Operation(EMAIL_SENT, _sent),
    "email.captured.v1": Operation(EMAIL_SENT, _sent),
    "key.created.v1": Operation("API_KEY_CREATED", _chosen("key", _KEY | {"expires_at": "expires_at"})),
    "key.deleted.v1": Operation("API_KEY_DELETED", _chosen("key", _KEY)),
    "user.created.v1": Operation("USER_CREATED", _chosen("user", _USER)),
    "user.updated.v1": Operation("USER_UPDATED", _chosen("user", _USER, "changed_fields")),
}

NOT_AUDITED: Mapping[str, str] = {
    "email.sent.v1": "an attempt",
    "email.deferred.v1": "an attempt",
    "email.unknown.v1": "an attempt",
    "email.bounced.v1": "an attempt, or a report",
    "email.failed.v1": "an attempt",
    "email.rerouted.v1": "the sender's own decision, shown in the timeline",
    "email.delivered.v1": "a report",
    "email.complained.v1": "a report",
    "email.opened.v1": "a hit of the public",
    "email.clicked.v1": "a hit of the public",
}
"""Facts that nobody who may do something here has caused: what became of an email is its timeline."""

NAMES: tuple[str, ...] = tuple(dict.fromkeys(operation.name for operation in OPERATIONS.values()))
"""Every operation, once."""
