"""Pages outside `/api`: the API's description and its reader, served from here alone (no CDN, no inline script)."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import orjson

from services.gateway.docs_pages.merged_document import MergedDocument
from services.gateway.proxy.answers import ASGIApp, Headers

Page = Callable[[], Awaitable["Content"]]

_STATIC = {
    "swagger-ui-bundle.js": b"text/javascript; charset=utf-8",
    "swagger-ui.css": b"text/css; charset=utf-8",
    "favicon.png": b"image/png",
}
_DOCS = b"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s API</title>
<link rel="icon" type="image/png" href="/docs/favicon.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = b"""SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  persistAuthorization: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
});
"""
# Swagger UI writes style attributes and draws its icons from data: addresses.
_SECURITY: Headers = [
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
            b"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
        ),
    ),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


@dataclass(frozen=True, slots=True)
class Content:
    """The response of a page."""

    body: bytes
    headers: Headers
    status: int = 200


def pages(document: MergedDocument, *, brand: str) -> Mapping[str, Page]:
    """Path to page. Until there is a console, `/` and `/login` lead to the documentation."""
    to_docs = _fixed(Content(b"", [(b"location", b"/docs"), *_SECURITY], 302))
    title = brand.replace("&", "&amp;").replace("<", "&lt;").encode()

    async def openapi() -> Content:
        cache = (b"cache-control", b"no-cache")
        return Content(await document.get(), [(b"content-type", b"application/json"), cache, *_SECURITY])

    found: dict[str, Page] = {
        "/": to_docs,
        "/login": to_docs,
        "/openapi.json": openapi,
        "/docs": _fixed(Content(_DOCS % title, [(b"content-type", b"text/html; charset=utf-8"), *_SECURITY])),
        "/docs/start.js": _fixed(Content(_START, [(b"content-type", _STATIC["swagger-ui-bundle.js"]), *_SECURITY])),
    }
    for name, content_type in _STATIC.items():
        found[f"/docs/{name}"] = _static(name, content_type)
    return found


async def own_document(app: ASGIApp) -> Mapping[str, Any]:
    """The gateway's own OpenAPI document, from its own application."""
    body = bytearray()

    async def take(message: Any) -> None:
        body.extend(message.get("body", b""))

    async def nothing() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app({"type": "http", "method": "GET", "path": "/openapi.json", "headers": []}, nothing, take)
    document: Mapping[str, Any] = orjson.loads(bytes(body))
    return document


def _fixed(content: Content) -> Page:
    async def page() -> Content:
        return content

    return page


def _static(name: str, content_type: bytes) -> Page:
    """A file of Swagger UI from where the wheel put it; read when it is first asked for, then kept."""
    kept: list[Content] = []

    async def page() -> Content:
        if not kept:
            body = files("fastapi_offline").joinpath("static", name).read_bytes()
            cache = (b"cache-control", b"public, max-age=3600")
            kept.append(Content(body, [(b"content-type", content_type), cache, *_SECURITY]))
        return kept[0]

    return page
