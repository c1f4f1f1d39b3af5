"""The expected refusals of this system: each has a slug, one table maps slugs to HTTP status.

A refusal becomes a problem document (RFC 9457) at the edge; inside the handlers it is a plain exception.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

STATUS: Mapping[str, int] = {
    "validation_failed": 400,
    "unauthorized": 401,
    "insufficient_permission": 403,
    "csrf_failed": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "request_timeout": 408,
    "conflict": 409,
    "domain_not_verified": 409,
    "provider_inactive": 409,
    "provider_in_use": 409,
    "duplicate_domain": 409,
    "payload_too_large": 413,
    "unsupported_media_type": 415,
    "credentials_rejected": 422,
    "identity_refused": 422,
    "rate_limited": 429,
    "headers_too_large": 431,
    "internal_error": 500,
    "bad_gateway": 502,
    "provider_unreachable": 502,
    "unavailable": 503,
    "not_caught_up": 503,
    "outcome_unknown": 503,
    "gateway_timeout": 504,
    "log_full": 507,
}

TITLES: Mapping[str, str] = {
    "validation_failed": "The request is not valid",
    "unauthorized": "Authentication is required",
    "insufficient_permission": "A permission is missing",
    "csrf_failed": "The request did not come from this site",
    "not_found": "Not found",
    "method_not_allowed": "Method not allowed",
    "request_timeout": "The request did not come in time",
    "conflict": "Conflict with the current state",
    "domain_not_verified": "The sender's domain is not verified",
    "provider_inactive": "The provider is inactive",
    "provider_in_use": "The provider is in use",
    "duplicate_domain": "The domain is already registered",
    "payload_too_large": "The request is too large",
    "unsupported_media_type": "Unsupported media type",
    "credentials_rejected": "The provider rejected the credentials",
    "identity_refused": "The provider refused the domain",
    "rate_limited": "Too many requests",
    "headers_too_large": "The headers are too large",
    "internal_error": "Internal error",
    "bad_gateway": "The service answered badly",
    "provider_unreachable": "The provider cannot be reached",
    "unavailable": "Temporarily unavailable",
    "not_caught_up": "The view has not caught up yet",
    "outcome_unknown": "The outcome is unknown",
    "gateway_timeout": "The service did not answer in time",
    "log_full": "The log is nearly full",
}


class TempsError(Exception):
    """A refusal with a slug of `STATUS`; `extra` members go into the problem document as they are."""

    slug = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        slug: str | None = None,
        suggestion: str | None = None,
        retry_after: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        """`detail` is shown to the caller: it never holds a secret. `retry_after` is in seconds."""
        super().__init__(detail)
        self.detail = detail
        self.slug = slug or type(self).slug
        self.suggestion = suggestion
        self.retry_after = retry_after
        self.extra = dict(extra or {})

    @property
    def status(self) -> int:
        """The HTTP status of the slug."""
        return STATUS[self.slug]


MAX_FIELD_ERRORS, MAX_FIELD_ERROR_BYTES = 20, 8_000
"""How many an answer lists, and how much they are together as JSON, whatever names and values a request has."""
_MAX_FIELD_BYTES, _MAX_MESSAGE_BYTES = 128, 1_000


class InvalidError(TempsError):
    """Bad input: names the fields that are wrong as `(field, message)`, the first of them if there are many."""

    slug = "validation_failed"

    def __init__(self, errors: Sequence[tuple[str, str]], *, suggestion: str | None = None) -> None:
        """`errors` is not empty; a field of a body is a dotted path, a header or a parameter its name."""
        listed, left = [], MAX_FIELD_ERROR_BYTES
        for field, message in errors[:MAX_FIELD_ERRORS]:
            shown = {
                "field": _shortened(field, _MAX_FIELD_BYTES),
                "message": _shortened(message, _MAX_MESSAGE_BYTES),
            }
            left -= len(json.dumps(shown, ensure_ascii=False).encode()) + 1
            if left < 0:
                break
            listed.append(shown)
        detail = "; ".join(f"{each['field']}: {each['message']}" for each in listed[:3])
        if len(errors) > len(listed):
            detail += f"; {len(errors)} fields are wrong, the first {len(listed)} are listed"
        super().__init__(detail, suggestion=suggestion, extra={"errors": listed})


def _shortened(text: str, limit: int) -> str:
    """At most `limit` bytes, on one line, nothing that JSON would have to escape at length."""
    text = text[:limit]
    if not text.isprintable():
        text = "".join(character if character.isprintable() else "\ufffd" for character in text)
    if len(text.encode()) <= limit:
        return text
    return text.encode()[: limit - 3].decode("utf-8", "ignore") + "…"


class UnauthorizedError(TempsError):
    """The request is not authenticated, or its credentials are unknown."""

    slug = "unauthorized"


class ForbiddenError(TempsError):
    """The caller is known and lacks `required_permission`."""

    slug = "insufficient_permission"


class NotFoundError(TempsError):
    """There is no such thing."""

    slug = "not_found"


class ConflictError(TempsError):
    """The current state does not allow it; the slug says which state."""

    slug = "conflict"


class TooLargeError(TempsError):
    """The request, or its attachments, are over their limit."""

    slug = "payload_too_large"


class UnavailableError(TempsError):
    """Nothing was done; the same request may succeed later."""

    slug = "unavailable"

    def __init__(self, detail: str, *, slug: str | None = None, retry_after: int = 1) -> None:
        """Always carries Retry-After, in seconds."""
        super().__init__(detail, slug=slug, retry_after=retry_after)


class OutcomeUnknownError(TempsError):
    """JetStream's answer did not come: the fact may be stored, or not."""

    slug = "outcome_unknown"

    def __init__(self, detail: str, *, extra: Mapping[str, Any] | None = None) -> None:
        """`extra` names what it was about, for instance the email id."""
        super().__init__(detail, retry_after=1, extra=extra)


class LogFullError(TempsError):
    """The log is at its limit: nothing more is accepted until the operator makes room."""

    slug = "log_full"
