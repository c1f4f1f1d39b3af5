"""The public routes as the OpenAPI document shows them: they are plain ASGI, so FastAPI cannot describe them."""

from collections.abc import Mapping
from typing import Any

_ID = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
    "description": "The email's id",
}
_N = {
    "name": "n",
    "in": "path",
    "required": True,
    "schema": {"type": "integer", "minimum": 0},
    "description": "Which link of the html, from 0 in document order",
}


def _page(why: str) -> dict[str, Any]:
    return {"description": why, "content": {"text/html": {"schema": {"type": "string"}}}}


PATHS: Mapping[str, Mapping[str, Any]] = {
    "/api/emails/{id}/track/open": {
        "get": {
            "operationId": "track_open",
            "summary": "The pixel of an email",
            "description": "Always answered; recorded as an open if the email is known and tracked.",
            "parameters": [_ID],
            "responses": {
                "200": {
                    "description": "A transparent GIF of one pixel",
                    "content": {"image/gif": {"schema": {"type": "string", "format": "binary"}}},
                }
            },
            "security": [],
        }
    },
    "/api/emails/{id}/track/click/{n}": {
        "get": {
            "operationId": "track_click",
            "summary": "A rewritten link of an email",
            "description": "Leads to where the email's own link led, and is recorded as a click.",
            "parameters": [_ID, _N],
            "responses": {
                "302": {"description": "To the original URL"},
                "400": _page("The id is malformed"),
                "404": _page("No such email or link"),
                "503": _page("It cannot be looked up right now"),
            },
            "security": [],
        }
    },
}
