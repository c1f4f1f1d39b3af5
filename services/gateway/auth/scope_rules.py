"""Scopes, and the scopes of each role."""

from collections.abc import Iterable, Mapping

ALL: frozenset[str] = frozenset(
    {
        "email_providers:read",
        "email_providers:create",
        "email_providers:write",
        "email_providers:delete",
        "email_domains:read",
        "email_domains:create",
        "email_domains:write",
        "email_domains:delete",
        "emails:read",
        "emails:send",
        "emails:erase",
        "suppressions:read",
        "suppressions:write",
        "templates:read",
        "templates:write",
        "webhooks:read",
        "webhooks:write",
        "api_keys:read",
        "api_keys:write",
        "audit:read",
    }
)

_NOT_FOR_USERS = frozenset({"emails:erase", "api_keys:read", "api_keys:write"})

ROLES: Mapping[str, frozenset[str]] = {
    "admin": ALL,
    "user": frozenset(scope for scope in ALL - _NOT_FOR_USERS if not scope.endswith(":delete")),
    "reader": frozenset(scope for scope in ALL if scope.endswith(":read")) - {"api_keys:read"},
}
"""Admin everything; user all but deletes, erase and keys; reader reads (keys are the admin's business)."""


def effective(scopes: Iterable[str], role: str) -> frozenset[str]:
    """A key's effective scopes: at most those its owner has now. An unknown role has none."""
    return frozenset(scopes) & ROLES.get(role, frozenset())


def unknown(scopes: Iterable[str]) -> list[str]:
    """The unknown ones among them, in order."""
    return [scope for scope in scopes if scope not in ALL]
