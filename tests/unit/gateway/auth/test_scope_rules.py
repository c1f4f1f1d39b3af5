import pytest

from services.gateway.auth.scope_rules import ALL, ROLES, effective, unknown


def test_an_admin_may_everything() -> None:
    assert ROLES["admin"] == ALL


def test_a_user_may_all_but_deletes_erase_and_keys() -> None:
    refused = {"email_providers:delete", "email_domains:delete", "emails:erase", "api_keys:read", "api_keys:write"}
    assert ALL - ROLES["user"] == refused


def test_a_reader_only_reads() -> None:
    assert {scope.partition(":")[2] for scope in ROLES["reader"]} == {"read"}


def test_everybody_who_reads_may_read_the_audit_trail() -> None:
    assert all("audit:read" in scopes for scopes in ROLES.values())


@pytest.mark.parametrize(
    ("role", "expected"),
    [("admin", {"emails:send", "emails:erase"}), ("user", {"emails:send"}), ("reader", set()), ("king", set())],
)
def test_a_key_never_does_more_than_its_owner_may_now(role: str, expected: set[str]) -> None:
    assert effective(["emails:send", "emails:erase", "made:up"], role) == expected


def test_scopes_that_do_not_exist_are_named_in_order() -> None:
    assert unknown(["emails:send", "emails:fly", "a"]) == ["emails:fly", "a"]
