"""What the system says of itself: one OpenAPI document for all services, and pages that need no other host."""

import re

from tests.e2e.client import Api
from tests.e2e.test_journey import visit

# The operation ids that generated clients rely on.
OPERATIONS = {
    *("create_email_provider", "list_email_providers", "get_email_provider", "update_email_provider"),
    *("delete_email_provider", "test_provider"),
    *("create_email_domain", "list_email_domains", "get_domain", "get_domain_by_name", "get_domain_dns_records"),
    *("verify_domain", "delete_email_domain"),
    *("send_email", "list_emails", "get_email_stats", "get_email"),
    *("get_email_tracking", "get_email_tracking_events", "get_tracking_events", "get_tracking_stats"),
    *("get_email_timeline", "list_audit_logs"),
}


def test_the_merged_document_names_every_operation_that_is_built(api: Api) -> None:
    document = api.get("/openapi.json")
    assert document["openapi"].startswith("3.1")
    assert [each["url"] for each in document["servers"]] == ["/"], "no host of anybody's is promised"
    found = {
        operation["operationId"]: (path, operation)
        for path, operations in document["paths"].items()
        for operation in operations.values()
    }
    assert set(found) >= OPERATIONS
    assert all(path.startswith("/api/") for path, _ in found.values())
    assert {"track_open", "track_click"} <= set(found)
    assert found["send_email"][1]["tags"] == found["get_email"][1]["tags"] == ["Emails"]
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"')))
    assert references <= set(document["components"]["schemas"])
    for name in OPERATIONS:
        operation = found[name][1]
        errors = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
        assert {"401", "403"} <= set(errors), name
        assert all("application/problem+json" in answer["content"] for answer in errors.values()), name
        assert operation["security"], name


def test_the_pages_come_from_here_alone(api: Api) -> None:
    for path in ("/", "/login"):
        status, headers, _ = visit(api.url + path)
        assert (status, headers["location"]) == (302, "/docs")
    status, headers, page = visit(api.url + "/docs")
    assert (status, headers["content-type"].partition(";")[0]) == (200, "text/html")
    links = re.findall(rb'(?:src|href)="([^"]+)"', page)
    assert links
    for link in links:
        assert link.startswith(b"/"), link
        assert visit(api.url + link.decode())[0] == 200, link


def test_every_wrong_address_and_method_is_a_problem(api: Api) -> None:
    cases = [
        ("GET", "/api/nothing", 404),
        ("GET", "/nothing", 404),
        ("PUT", "/api/emails", 405),
        ("POST", "/api/emails/batch", 405),
        ("GET", "/api/suppressions", 404),
        ("POST", "/api/users", 405),
        ("GET", "/metrics", 404),
    ]
    for method, path, status in cases:
        answer = api.request(method, path)
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), (method, path)
        assert answer.json["status"] == status
    assert "POST" in api.request("PUT", "/api/emails").headers["allow"]
