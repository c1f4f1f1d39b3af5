"""One OpenAPI document out of the services' own."""

from collections.abc import Mapping
from typing import Any

Document = Mapping[str, Any]

SECURITY_SCHEMES: Mapping[str, Any] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key: `tk_…`"},
    "session": {"type": "apiKey", "in": "cookie", "name": "temps_session", "description": "POST /api/session sets it"},
}


TAGS: Mapping[str, tuple[str, str]] = {
    "emails": ("Emails", "Send an email, and see what became of it"),
    "track": ("Tracking", "What a reader's mail program asks for: pixel and links. Public"),
    "email-providers": ("Providers", "The services and relays that emails leave through"),
    "email-domains": ("Sending domains", "The domains that emails are from, and their DNS records"),
    "local-inbox": ("Local inbox", "What the bundled inbox took: mail that was delivered to nobody"),
    "api-keys": ("API keys", "Keys for programs"),
    "session": ("Session", "Log in and out; who is calling"),
    "users": ("Users", "People who may log in"),
    "audit-logs": ("Audit log", "Who changed what"),
}
"""By the first word of the path behind `/api`, in the order in which a reader wants them."""

_UNREACHABLE = {
    "description": "A provider, or a service behind the gateway, could not be reached",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


class DocumentsDifferError(ValueError):
    """Two services mean different things by one name, or answer the same operation."""


def merge(documents: Mapping[str, Document], *, title: str, version: str, description: str) -> dict[str, Any]:
    """The whole: paths side by side, components united; what has the same name has to be the same.

    Raises DocumentsDifferError naming both services.
    """
    paths: dict[str, dict[str, Any]] = {}
    components: dict[str, dict[str, Any]] = {"securitySchemes": dict(SECURITY_SCHEMES)}
    owners: dict[tuple[str, ...], str] = {}
    operation_ids: dict[str, str] = {}
    for service, document in documents.items():
        for path, operations in document.get("paths", {}).items():
            for method, operation in operations.items():
                _claim(owners, ("paths", path, method), service)
                if (name := operation.get("operationId")) is not None and operation_ids.setdefault(
                    name, service
                ) != service:
                    raise DocumentsDifferError(f"{operation_ids[name]} and {service} both have an operation {name}")
                paths.setdefault(path, {})[method] = {**operation, "tags": [_tag(path)]}
                if service != "gateway" and operation.get("security"):
                    operation["responses"].setdefault("502", _UNREACHABLE)
        for kind, members in document.get("components", {}).items():
            united = components.setdefault(kind, {})
            for name, schema in members.items():
                if united.setdefault(name, schema) != schema:
                    other = owners[("components", kind, name)]
                    raise DocumentsDifferError(f"{other} and {service} mean different things by {kind} {name}")
                owners.setdefault(("components", kind, name), service)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description},
        "servers": [{"url": "/", "description": "Where this document was read"}],
        "tags": [{"name": name, "description": words} for name, words in TAGS.values()],
        "paths": dict(sorted(paths.items())),
        "components": components,
    }


def _tag(path: str) -> str:
    """By what it is about, not by who answers: a reader looks for emails."""
    words = path.removeprefix("/api/").strip("/").split("/")
    about = "track" if "track" in words else {"me": "session"}.get(words[0], words[0])
    return TAGS.get(about, (about, ""))[0]


def _claim(owners: dict[tuple[str, ...], str], what: tuple[str, ...], service: str) -> None:
    if owners.setdefault(what, service) != service:
        raise DocumentsDifferError(f"{owners[what]} and {service} both answer {what[2].upper()} {what[1]}")
