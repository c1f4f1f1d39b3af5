"""The OpenAPI 3.1 document of one service: what is true for every operation is written once, here."""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel

from libs.common.web.describing import describe
from libs.common.web.models import Problem
from libs.common.web.routing import required_scope

_VALIDATION = ("HTTPValidationError", "ValidationError")


def openapi_document(app: FastAPI, models: Sequence[type[BaseModel]] = ()) -> dict[str, Any]:
    """FastAPI's document with our problem form in place of its own, and everything that `describing` adds.

    `models` are bodies that a route reads by itself.
    """
    document = get_openapi(title=app.title, version=app.version, routes=app.routes, summary=app.summary)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _VALIDATION:
        schemas.pop(name, None)
    described: list[type[BaseModel]] = [Problem, *models]
    for model in described:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    scopes = {
        (route.path_format, method.lower()): required_scope(route.dependant)
        for route in _routes(app.routes)
        for method in route.methods or ()
    }
    return describe(document, scopes)


def _routes(routes: Any) -> list[APIRoute]:
    found: list[APIRoute] = []
    for route in routes:
        if isinstance(route, APIRoute):
            found.append(route)
        else:
            inner = getattr(route, "original_router", None)
            found += _routes(getattr(inner, "routes", []) if inner is not None else getattr(route, "routes", []) or [])
    return found
