"""The OpenAPI 3.1 document of one service: what is true for every operation is written once, here."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from libs.common.serve.models import Problem
from libs.common.serve.routing import required_scope

_VALIDATION = ("HTTPValidationError", "ValidationError")


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """FastAPI's document with our problem form in place of its own, and each operation's scope."""
    document = get_openapi(title=app.title, version=app.version, routes=app.routes, summary=app.summary)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in _VALIDATION:
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(problem.pop("$defs", {}))
    schemas["Problem"] = problem
    scopes = {
        (route.path_format, method.lower()): required_scope(route.dependant)
        for route in _routes(app.routes)
        for method in route.methods or ()
    }
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            _describe(operation, scopes.get((path, method)))
    return document


def _routes(routes: Any) -> list[APIRoute]:
    found: list[APIRoute] = []
    for route in routes:
        if isinstance(route, APIRoute):
            found.append(route)
        else:
            inner = getattr(route, "original_router", None)
            found += _routes(getattr(inner, "routes", []) if inner is not None else getattr(route, "routes", []) or [])
    return found


def _describe(operation: dict[str, Any], scope: str | None) -> None:
    responses = operation.setdefault("responses", {})
    responses.pop("422", None)
    responses["default"] = {
        "description": "A problem document",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if scope is not None:
        operation["x-required-permission"] = scope
        operation["security"] = [{"bearer": []}, {"session": []}]
