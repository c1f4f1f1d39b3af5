"""Makes a service's OpenAPI document one for people and for generators of clients; pure.

FastAPI describes what it knows: names of functions, of Python's generic types, and its own error. What callers need
besides follows from the route: which errors it can have (from its scope, its body, its parameters and its method, and
from what it declares with `problems`), a summary (its docstring's first sentence), and what each word means.
"""

import json
import re
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any

from libs.common.web.glossary import meaning_of

PROBLEM = {"$ref": "#/components/schemas/Problem"}
_GENERIC = re.compile(r"Page_(\w+)_")
_BOUNDS = {"ge": "minimum", "le": "maximum", "gt": "exclusiveMinimum", "lt": "exclusiveMaximum"}
_SENTENCE = re.compile(r"(.+?)(?:[.:](?=\s|$)|$)", re.DOTALL)

WORDS: Mapping[int, str] = {
    400: "A field, parameter or header is wrong: `errors` names it",
    401: "Nobody, or nobody known, is calling",
    403: "The caller lacks `required_permission`, or a browser's request did not come from this site",
    404: "There is no such thing",
    409: "The present state does not allow it: `error_code` says which",
    413: "The body is over its limit",
    415: "The body is not JSON",
    422: "The provider refused: `detail` has its words",
    429: "Too many requests came with this key or from this address: `Retry-After` says when to go on",
    502: "A provider, or a service behind the gateway, could not be reached",
    503: "Temporarily unavailable: `Retry-After` says when to try again",
    507: "The log is nearly full: nothing more is accepted until the operator has made room",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that has these errors beside those that follow from what it takes."""
    return {status: _problem(status) for status in statuses}


def describe(document: MutableMapping[str, Any], scopes: Mapping[tuple[str, str], str | None]) -> dict[str, Any]:
    """The document made whole. `scopes`: the permission that each (path, method) asks for."""
    whole: dict[str, Any] = json.loads(_GENERIC.sub(r"\1Page", json.dumps(document)))
    for node in _nodes(whole):
        _bound(node)
    for name, schema in whole.get("components", {}).get("schemas", {}).items():
        schema["title"] = name
        for word, member in schema.get("properties", {}).items():
            _mean(member, name, word)
    for path, operations in whole.get("paths", {}).items():
        for method, operation in operations.items():
            _operation(operation, path, method, scopes.get((path, method)))
    return whole


def _operation(operation: dict[str, Any], path: str, method: str, scope: str | None) -> None:
    for parameter in operation.get("parameters", ()):
        parameter.setdefault("description", meaning_of("parameter", parameter["name"]) or "")
        parameter.get("schema", {}).pop("title", None)
        parameter.get("schema", {}).pop("description", None)
    text = operation.get("description", "")
    if text and (found := _SENTENCE.match(text)):
        operation["summary"] = " ".join(found[1].split())
        rest = text[found.end() :].strip()
        operation["description"] = rest or f"{operation['summary']}."
    if scope is not None:
        operation["x-required-permission"] = scope
        operation["security"] = [{"bearer": []}, {"session": []}]
    responses = operation.setdefault("responses", {})
    if not _is_ours(responses.get("422")):
        responses.pop("422", None)
    for status in sorted(_follows(operation, path, method)):
        responses.setdefault(str(status), _problem(status))
    operation["responses"] = dict(sorted(responses.items()))


def _follows(operation: Mapping[str, Any], path: str, method: str) -> set[int]:
    """The errors that follow from what a route takes. Public ones (tracking) describe themselves."""
    known = bool(operation.get("security"))
    has_body = "requestBody" in operation
    if not known and not has_body:
        return set()
    found = {429, 503}
    found |= {401, 403}
    found |= {400} if has_body or operation.get("parameters") else set()
    found |= {413, 415} if has_body else set()
    found |= {404} if "{" in path else set()
    found |= {507} if method != "get" and known else set()
    return found


def _problem(status: int) -> dict[str, Any]:
    return {"description": WORDS[status], "content": {"application/problem+json": {"schema": PROBLEM}}}


def _is_ours(response: Mapping[str, Any] | None) -> bool:
    return response is not None and "application/problem+json" in response.get("content", {})


def _mean(member: dict[str, Any], owner: str, word: str) -> None:
    """A sentence, and in it what an absent member means.

    Generators take a member with a `default` for one that is always there (openapi-typescript), so that a client would
    have to give every one of them.
    """
    member.pop("title", None)
    if "description" not in member and (sentence := meaning_of(owner, word)) is not None:
        member["description"] = sentence
    default = member.pop("default", None)
    if default is not None and default != [] and "description" in member:
        member["description"] += f" (`{json.dumps(default)}` if absent)"


def _bound(node: dict[str, Any]) -> None:
    """Constraints that a validator hides from the schema come out under Python's names."""
    for ours, theirs in _BOUNDS.items():
        if ours in node and not isinstance(node[ours], dict):
            node[theirs] = node.pop(ours)


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for member in value.values():
            yield from _nodes(member)
    elif isinstance(value, list):
        for member in value:
            yield from _nodes(member)
