from typing import Any

import pytest

from services.gateway.docs_pages.merge_rules import DocumentsDifferError, merge

PROBLEM = {"type": "object", "title": "Problem"}


def document(path: str, method: str, name: str, **schemas: Any) -> dict[str, Any]:
    return {"paths": {path: {method: {"operationId": name}}}, "components": {"schemas": schemas}}


def merged(**documents: dict[str, Any]) -> dict[str, Any]:
    return merge(documents, title="T", version="1", description="D")


def test_methods_of_one_path_may_belong_to_different_services() -> None:
    whole = merged(
        sender=document("/api/emails", "post", "send_email", Problem=PROBLEM),
        analytics=document("/api/emails", "get", "list_emails", Problem=dict(PROBLEM)),
    )
    assert whole["openapi"] == "3.1.0"
    assert set(whole["paths"]["/api/emails"]) == {"post", "get"}
    assert whole["components"]["schemas"] == {"Problem": PROBLEM}
    assert set(whole["components"]["securitySchemes"]) == {"bearer", "session"}


def test_equal_names_must_mean_equal_things() -> None:
    with pytest.raises(DocumentsDifferError, match="sender and analytics mean different things by schemas Problem"):
        merged(
            sender=document("/a", "post", "a", Problem=PROBLEM),
            analytics=document("/b", "get", "b", Problem={"type": "string"}),
        )


def test_an_operation_has_one_owner() -> None:
    with pytest.raises(DocumentsDifferError, match="both answer GET /a"):
        merged(sender=document("/a", "get", "a"), analytics=document("/a", "get", "b"))


def test_operation_ids_are_unique() -> None:
    with pytest.raises(DocumentsDifferError, match="both have an operation a"):
        merged(sender=document("/a", "get", "a"), analytics=document("/b", "get", "a"))
