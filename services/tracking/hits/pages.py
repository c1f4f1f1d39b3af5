"""The answers to the public: a pixel, a redirect, and small plain pages for what cannot be redirected."""

from base64 import b64decode
from collections.abc import Mapping

from starlette.responses import Response

# GIF89a, 43 bytes: one pixel, two colours, the first of them transparent.
PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")

PIXEL_HEADERS = [
    (b"content-type", b"image/gif"),
    (b"content-length", b"%d" % len(PIXEL)),
    # Never cached, so that every opening is heard of.
    (b"cache-control", b"no-store, no-cache, must-revalidate, private"),
]
_PLAIN_HEADERS = {
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body{{font:16px/1.5 sans-serif;margin:15vh auto;max-width:28em;padding:0 1em;color:#222}}</style></head>
<body><h1>{title}</h1><p>{text}</p></body></html>
"""
_PAGES: Mapping[int, tuple[str, str]] = {
    400: ("This link is damaged", "Its address is not complete. Please copy it from the email once more."),
    404: ("This link leads nowhere", "There is no such link. It may have been cut off on its way to you."),
    503: ("Please try again", "This link cannot be looked up right now. It will work again in a moment."),
}


def redirect(location: str) -> Response:
    """302: permanent ones would be remembered, and followed past us. `location` is ASCII and one line."""
    return Response(status_code=302, headers={**_PLAIN_HEADERS, "location": location})


def page(status: int) -> Response:
    """A page for a person. 503 says when to come again."""
    title, text = _PAGES[status]
    headers = {**_PLAIN_HEADERS, "retry-after": "2"} if status == 503 else _PLAIN_HEADERS
    return Response(_PAGE.format(title=title, text=text), status, headers, media_type="text/html")
