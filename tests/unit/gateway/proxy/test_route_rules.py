import pytest

from services.gateway.proxy.route_rules import NoRoute, RouteTable, Target, is_sane

TABLE = RouteTable(frozenset({"providers", "sender", "tracking", "analytics", "inbox"}))
ID = "01890000-0000-7000-8000-000000000000"
EMAILS = "GET, HEAD, POST, PATCH, DELETE"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("POST", "/api/emails", Target("sender")),
        ("GET", "/api/emails", Target("analytics")),
        ("HEAD", "/api/emails", Target("analytics")),
        ("GET", f"/api/emails/{ID}", Target("analytics")),
        ("DELETE", f"/api/emails/{ID}", Target("sender")),
        ("PATCH", f"/api/emails/{ID}", Target("sender")),
        ("POST", f"/api/emails/{ID}/cancel", Target("sender")),
        ("GET", f"/api/emails/{ID}/tracking", Target("analytics")),
        ("GET", f"/api/emails/{ID}/track/open", Target("tracking", public=True)),
        ("HEAD", f"/api/emails/{ID}/track/click/3", Target("tracking", public=True)),
        ("POST", f"/api/emails/{ID}/track/open", NoRoute("GET, HEAD")),
        ("GET", f"/api/emails/{ID}/%74rack/open", Target("analytics")),
        ("GET", f"/api/emails/{ID}/track", Target("analytics")),
        ("PUT", "/api/emails", NoRoute(EMAILS)),
        ("OPTIONS", "/api/emails", NoRoute(EMAILS)),
        ("BREW", "/api/emails", NoRoute(EMAILS)),
        ("GET", "/api/emailsx", NoRoute()),
        ("GET", "/api/email-providers/3", Target("providers")),
        ("PATCH", "/api/email-domains/3", Target("providers")),
        ("POST", "/api/webhooks/ses", Target("tracking", public=True)),
        ("GET", "/api/webhooks/ses", NoRoute("POST")),
        ("POST", "/api/webhooks/scaleway/secret", Target("tracking", public=True)),
        ("GET", "/api/webhooks", Target("analytics")),
        ("GET", "/api/webhooks/3/deliveries", Target("analytics")),
        ("POST", "/api/inbound/dsn", Target("tracking")),
        ("GET", "/api/unsubscribe/token", Target("tracking", public=True)),
        ("GET", "/api/audit-logs", Target("analytics")),
        ("GET", "/api/local-inbox/3/raw", Target("inbox")),
        ("POST", "/api/local-inbox", NoRoute("GET, HEAD")),
        ("POST", "/api/api-keys", Target("own")),
        ("PATCH", "/api/api-keys/1", NoRoute("GET, HEAD, POST, DELETE")),
        ("POST", "/api/session", Target("own", public=True)),
        ("DELETE", "/api/session", Target("own")),
        ("GET", "/api/users/1", Target("own")),
        ("POST", "/api/users", NoRoute("GET, HEAD")),
        ("DELETE", "/api/users/1", NoRoute("GET, HEAD")),
        ("GET", "/api/me", Target("own")),
        ("GET", "/api", NoRoute()),
        ("GET", "/api/", NoRoute()),
        ("GET", "/api//emails", NoRoute()),
        ("GET", "/metrics", NoRoute()),
    ],
)
def test_each_path_and_method_has_one_answer(method: str, path: str, expected: Target | NoRoute) -> None:
    assert TABLE.find(method, path) == expected


def test_a_service_that_is_not_there_has_no_routes() -> None:
    bare = RouteTable(frozenset({"sender"}))
    assert bare.find("GET", "/api/local-inbox") == NoRoute()
    assert bare.find("POST", "/api/emails") == Target("sender")


@pytest.mark.parametrize("path", [b"/api/emails", b"/api/a%20b", b"/api/x;y=1", b"/api/a..b", b"/api/.well", b"/"])
def test_ordinary_paths_pass(path: bytes) -> None:
    assert is_sane(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/api/../metrics",
        b"/api/emails/..",
        b"/api/./emails",
        b"/api/%2e%2E/metrics",
        b"/api/.%2e/x",
        b"/api/a%2fb",
        b"/api/a%5Cb",
        b"/api\\..\\x",
        b"/api/a%00b",
        b"/api/a%zz",
        b"/api/a%4",
        b"/api/\xc3\xbc",
        b"/api/a#b",
        b"/api/a b",
        b"api",
        b"*",
    ],
)
def test_a_path_that_others_might_read_otherwise_is_refused(path: bytes) -> None:
    assert not is_sane(path)
