"""Every refusal as a problem document (RFC 9457), whoever raised it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError

from libs.common.errors import TITLES, InvalidError, NotFoundError, TempsError, UnavailableError
from libs.common.facts import timestamp

TYPE_BASE = "https://temps.sh/probs/"
MEDIA_TYPE = b"application/problem+json"

_HTTP_SLUGS: Mapping[int, str] = {
    400: "validation_failed",
    401: "unauthorized",
    403: "insufficient_permission",
    404: "not_found",
    405: "method_not_allowed",
    413: "payload_too_large",
    415: "unsupported_media_type",
    503: "unavailable",
}

_WORDS: Mapping[str, str] = {"missing": "is missing", "extra_forbidden": "is not a member of this request"}
_PREFIX = "Value error, "
"""The prefix that pydantic puts before a validator's ValueError."""


def document(error: TempsError, *, path: str, request_id: str) -> dict[str, Any]:
    """The problem document of a refusal."""
    body: dict[str, Any] = {
        "type": TYPE_BASE + error.slug,
        "title": TITLES[error.slug],
        "status": error.status,
        "detail": error.detail,
        "instance": path,
        "timestamp": timestamp(datetime.now(UTC)),
        "error_code": error.slug.upper(),
        "request_id": request_id,
        **error.extra,
    }
    if error.suggestion is not None:
        body["suggestion"] = error.suggestion
    return body


def rendered(
    error: TempsError, *, path: str, request_id: str, headers: Mapping[str, str] | None = None
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, raw ASGI headers and body of a refusal."""
    body = orjson.dumps(document(error, path=path, request_id=request_id))
    raw = [(b"content-type", MEDIA_TYPE), (b"content-length", b"%d" % len(body))]
    if error.retry_after is not None:
        raw.append((b"retry-after", b"%d" % error.retry_after))
    raw += [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    return error.status, raw, body


def from_validation(error: RequestValidationError) -> TempsError:
    """FastAPI's and pydantic's findings, each under the name of its field."""
    found = [(field_path(item["loc"]), finding(item)) for item in error.errors()]
    return InvalidError(found or [("body", "is not valid")])


def finding(item: Mapping[str, Any]) -> str:
    """The text for one of pydantic's errors, the same in every service."""
    return _WORDS.get(item["type"]) or str(item["msg"]).removeprefix(_PREFIX)


def field_path(location: tuple[int | str, ...]) -> str:
    """`("body", "to", 1)` → `to.1`; a location that is only the body's is `body`."""
    parts = location[1:] if location and location[0] in ("body", "query", "path", "header", "cookie") else location
    if not parts or (location[0] == "body" and isinstance(parts[0], int)):
        return str(location[0]) if location else "body"
    return ".".join(str(part) for part in parts)


def from_http(status: int, detail: str) -> TempsError:
    """The router's own refusals (404, 405) and the framework's."""
    slug = _HTTP_SLUGS.get(status, "internal_error")
    if status == 400:
        return InvalidError([("body", detail)])
    if status == 404:
        return NotFoundError("There is nothing at this address.")
    if status == 405:
        return TempsError("This method is not possible here; the header Allow has those that are.", slug=slug)
    if status == 503:
        return UnavailableError(detail)
    return TempsError(detail, slug=slug)
