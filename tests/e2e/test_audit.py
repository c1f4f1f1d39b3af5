"""Who did what, from the request at the door to the trail that is read there."""

from typing import Any
from uuid import uuid4

from tests.e2e.client import Api, until

AGENT = {"User-Agent": "audit-test/1"}


def test_what_a_key_changes_is_in_the_trail_with_its_name_and_where_it_came_from(api: Api) -> None:
    name, secret = f"relay-{uuid4().hex[:8]}", uuid4().hex
    smtp = {"host": "127.0.0.1", "port": 2525, "username": "u", "password": secret, "encryption": "none"}
    body = {"name": name, "provider_type": "smtp", "smtp_credentials": smtp, "is_active": False}
    created = api.request("POST", "/api/email-providers", body, headers=AGENT)
    assert created.status == 201, created.body
    provider = created.json["id"]
    changed = api.request("PATCH", f"/api/email-providers/{provider}", {"name": f"{name}-b"}, headers=AGENT)
    assert changed.status == 200, changed.body
    assert api.request("DELETE", f"/api/email-providers/{provider}", headers=AGENT).status == 204
    email = {"from": "shop@audit.example", "to": "a@example.com", "subject": secret, "text": secret}
    sent = api.request("POST", "/api/emails", email, headers=AGENT).json["id"]

    def mine() -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = api.get("/api/audit-logs", actor="First key", page_size=100)["data"]
        return [
            entry
            for entry in entries
            if entry["details"].get("email_id") == sent
            or (entry["details"].get("provider_id") == provider and entry["operation_type"] != "EMAIL_SENT")
        ]

    entries = until(mine, lambda found: len(found) == 4, seconds=10)
    assert [entry["operation_type"] for entry in entries] == [
        "EMAIL_SENT",
        "EMAIL_PROVIDER_DELETED",
        "EMAIL_PROVIDER_UPDATED",
        "EMAIL_PROVIDER_CREATED",
    ]
    for entry in entries:
        assert (entry["actor"]["kind"], entry["actor"]["name"]) == ("key", "First key")
        assert (entry["ip_address"], entry["user_agent"]) == ("127.0.0.1", AGENT["User-Agent"])
    assert entries[0]["details"] == {"email_id": sent, "from_address": "shop@audit.example", "recipient_count": 1}
    assert entries[2]["details"]["changed_fields"] == ["name"]
    assert entries[3]["details"] == {
        "provider_id": provider,
        "name": name,
        "provider_type": "smtp",
        "region": "custom",
    }
    assert secret not in str(api.get("/api/audit-logs", page_size=100))


def test_the_first_user_and_key_were_made_by_the_system(api: Api) -> None:
    for operation in ("USER_CREATED", "API_KEY_CREATED"):
        answer = api.get("/api/audit-logs", operation_type=operation, actor="gateway")
        assert [entry["actor"] for entry in answer["data"]] == [{"kind": "system", "id": "gateway", "name": "gateway"}]
