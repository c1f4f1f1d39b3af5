"""The first email of a new user, by the README's own calls."""

import re
import urllib.error
import urllib.request
from email.message import Message
from typing import Any
from uuid import uuid4

from tests.e2e.client import Api, until
from tests.e2e.stack import Stack

NOT_FOLLOWED = {301, 302, 303, 307, 308}
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def visit(url: str) -> tuple[int, dict[str, str], bytes]:
    """A GET as a mail client makes it: no key, no redirect followed."""
    opener = urllib.request.build_opener(_NoRedirect)
    request = urllib.request.Request(url, headers={"User-Agent": BROWSER})
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status, _lower(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _lower(error.headers), error.read()


def test_an_email_is_sent_arrives_is_opened_and_clicked_and_all_of_it_is_known(api: Api) -> None:
    tag, to = f"journey-{uuid4().hex[:8]}", f"{uuid4().hex[:8]}@example.com"
    before = api.get("/api/emails/stats")
    sent = api.post(
        "/api/emails",
        {
            "from": "Shop <hello@shop.example>",
            "to": to,
            "subject": "Grüße",
            "html": '<p><a href="https://example.com/?a=1&amp;b=2">look</a> <a href="mailto:x@y.example">m</a></body>',
            "text": "Hi",
            "tags": [tag],
            "track_opens": True,
            "track_clicks": True,
        },
    )
    assert (sent["status"], sent["provider_message_id"], sent["suppressed"]) == ("queued", None, [])
    email = api.get(f"/api/emails/{sent['id']}")
    assert (email["id"], email["subject"], email["to_addresses"]) == (sent["id"], "Grüße", [to])

    mail = until(lambda: api.get("/api/local-inbox", to=to)["data"], lambda found: len(found) == 1, seconds=5)[0]
    arrived = api.get(f"/api/local-inbox/{mail['id']}")
    links = re.findall(r'href="([^"]+)"', arrived["html"])
    pixel = re.findall(r'src="([^"]+/track/open)"', arrived["html"])
    assert links[0].endswith(f"/api/emails/{sent['id']}/track/click/0")
    assert links[1] == "mailto:x@y.example"
    assert len(pixel) == 1

    status, headers, gif = visit(pixel[0])
    assert (status, headers["content-type"], len(gif)) == (200, "image/gif", 43)
    status, headers, _ = visit(links[0])
    assert (status, headers["location"]) == (302, "https://example.com/?a=1&b=2")

    tracking = until(
        lambda: api.get(f"/api/emails/{sent['id']}/tracking"),
        lambda seen: seen["open_count"] == 1 and seen["click_count"] == 1,
        seconds=1,
        what="tracking within a second",
    )
    assert (tracking["unique_opens"], tracking["links"][0]["click_count"]) == (1, 1)
    assert tracking["links"][0]["original_url"] == "https://example.com/?a=1&b=2"
    events = api.get(f"/api/emails/{sent['id']}/tracking/events")
    assert [event["event_type"] for event in events] == ["open", "click"]
    assert events[0]["user_agent"] == BROWSER
    listed = api.get("/api/emails/events", tag=tag)
    assert (listed["total"], [event["event_type"] for event in listed["events"]]) == (2, ["click", "open"])
    stats = api.get("/api/emails/events/stats", tag=tag)
    assert (stats["delivered"], stats["opened"], stats["clicked"]) == (1, 1, 1)
    assert (stats["open_rate"], stats["click_rate"], stats["bounce_rate"]) == (100.0, 100.0, 0.0)

    email = api.get(f"/api/emails/{sent['id']}")
    assert (email["status"], email["open_count"], email["recipients"][0]["status"]) == ("captured", 1, "captured")
    assert email["tracked_html_body"] != email["html_body"]
    types = [fact["type"] for fact in api.get(f"/api/emails/{sent['id']}/timeline")]
    assert types == ["email.accepted.v1", "email.sent.v1", "email.opened.v1", "email.clicked.v1"]
    after = api.get("/api/emails/stats")
    assert after["total"] == before["total"] + 1
    assert sum(count for name, count in after.items() if name != "total") == after["total"]


def test_mail_that_no_provider_takes_is_told_from_what_the_inbox_took(api: Api, stack: Stack) -> None:
    inbox = f"/api/email-providers/{(stack.home / 'inbox-provider').read_text().strip()}"
    body = {"from": "a@nowhere.example", "to": "b@example.com", "subject": "x", "text": "x"}
    taken = api.post("/api/emails", body)
    api.request("PATCH", inbox, {"is_default": False})
    try:
        kept = api.post("/api/emails", body)
    finally:
        api.request("PATCH", inbox, {"is_default": True})
    assert (taken["status"], "suggestion" in taken) == ("queued", False)
    assert (kept["status"], kept["provider_id"]) == ("captured", None)
    assert "PATCH /api/email-providers/{id}" in kept["suggestion"]
    shown = until(lambda: api.get(f"/api/emails/{taken['id']}"), lambda seen: seen["status"] == "captured", seconds=5)
    assert (shown["provider_id"] is not None, shown["error_message"]) == (True, None)
    shown = api.get(f"/api/emails/{kept['id']}")
    assert (shown["status"], shown["provider_id"]) == ("captured", None)
    assert shown["error_message"] == "no provider for nowhere.example and no default"
    assert shown["recipients"][0]["detail"] == shown["error_message"]
    facts = {
        each["id"]: [fact["type"] for fact in api.get(f"/api/emails/{each['id']}/timeline")] for each in (taken, kept)
    }
    assert list(facts.values()) == [["email.accepted.v1", "email.sent.v1"], ["email.captured.v1"]]


def test_local_parts_that_differ_in_case_are_two_people(api: Api) -> None:
    """RFC 5321 section 2.4: only the owner of a domain knows whether `Bob` and `bob` are one; domains have no case."""
    domain = f"{uuid4().hex[:8]}.example"
    people = [f"Bob@{domain}", f"bob@{domain.upper()}", f"bob@{domain}"]
    sent = api.post("/api/emails", {"from": "a@shop.example", "to": people, "subject": "x", "text": "x"})
    email = until(lambda: api.get(f"/api/emails/{sent['id']}"), lambda seen: seen["status"] == "captured", seconds=5)
    assert email["to_addresses"] == [f"Bob@{domain}", f"bob@{domain}"]
    assert [(each["address"], each["status"]) for each in email["recipients"]] == [
        (f"Bob@{domain}", "captured"),
        (f"bob@{domain}", "captured"),
    ]


def test_a_bounce_and_a_deferral_are_what_the_relay_said(api: Api) -> None:
    domain = f"{uuid4().hex[:8]}.example"
    sent = api.post(
        "/api/emails",
        {"from": "a@shop.example", "to": [f"bounced@{domain}", f"fine@{domain}"], "subject": "x", "text": "x"},
    )
    email = until(lambda: api.get(f"/api/emails/{sent['id']}"), lambda seen: seen["status"] != "queued", seconds=5)
    by_address = {recipient["address"]: recipient for recipient in email["recipients"]}
    bounced = by_address[f"bounced@{domain}"]
    assert (bounced["status"], bounced["smtp_code"], bounced["enhanced_status"]) == ("bounced", 550, "5.1.1")
    assert by_address[f"fine@{domain}"]["status"] == "captured"
    assert email["status"] == "bounced"
    deferred = api.post(
        "/api/emails", {"from": "a@shop.example", "to": f"deferred@{domain}", "subject": "x", "text": "x"}
    )
    types = until(
        lambda: [fact["type"] for fact in api.get(f"/api/emails/{deferred['id']}/timeline")],
        lambda seen: "email.deferred.v1" in seen,
        seconds=5,
    )
    assert types == ["email.accepted.v1", "email.deferred.v1"]
    waiting = api.get(f"/api/emails/{deferred['id']}")
    assert (waiting["status"], waiting["recipients"][0]["smtp_code"]) == ("queued", 451)


def test_bad_input_is_named_and_stores_nothing(api: Api) -> None:
    good = {"from": "a@shop.example", "to": "b@example.com", "subject": "x", "text": "x"}
    before = api.get("/api/emails/stats")["total"]
    cases: list[tuple[dict[str, Any], str]] = [
        ({"from": "nobody"}, "from"),
        ({"to": []}, "to"),
        ({"to": ["a@b.example", "nobody"]}, "to.1"),
        ({"subject": "a\r\nBcc: x@y.example"}, "subject"),
        ({"subject": "\x00"}, "subject"),
        ({"headers": {"X-A: b\r\nBcc": "x"}}, "headers"),
        ({"headers": {"Bcc": "x@y.example"}}, "headers"),
        ({"surprise": 1}, "surprise"),
        ({"track_opens": "yes"}, "track_opens"),
        ({"attachments": []}, "attachments"),
        ({"scheduled_at": "2030-01-01T00:00:00Z"}, "scheduled_at"),
        ({"text": "", "html": ""}, "html"),
    ]
    for change, field in cases:
        answer = api.request("POST", "/api/emails", {**good, **change})
        assert answer.status == 400, (change, answer.body)
        named = [error["field"] for error in answer.json["errors"]]
        assert any(name.startswith(field) for name in named) or field == "html", (change, named)
    assert api.request("POST", "/api/emails", good, headers={"Idempotency-Key": "a"}).status == 400
    assert api.request("POST", "/api/emails", b"{}", headers={"Content-Type": "text/plain"}).status == 415
    assert api.request("GET", f"/api/emails/{uuid4()}").status == 404
    assert api.request("GET", "/api/emails/x").status == 400
    assert api.request("GET", "/api/emails?page=0").status == 400
    with Api(api.url, "tk_wrong") as nobody:
        assert nobody.request("GET", "/api/emails").status == 401
    assert api.get("/api/emails/stats")["total"] == before


def test_a_revoked_key_is_refused_at_once_and_a_weak_one_is_told_what_it_lacks(api: Api) -> None:
    key = api.post("/api/api-keys", {"name": "reader", "scopes": ["emails:read"]})
    good = {"from": "a@b.example", "to": "c@d.example", "subject": "x", "text": "x"}
    with Api(api.url, key["key"]) as weak:
        assert weak.request("GET", "/api/emails").status == 200
        refused = weak.request("POST", "/api/emails", good)
        assert (refused.status, refused.json["required_permission"]) == (403, "emails:send")
        assert api.request("DELETE", f"/api/api-keys/{key['id']}").status == 204
        assert weak.request("GET", "/api/emails").status == 401
