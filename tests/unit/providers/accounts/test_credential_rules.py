"""Credential blocks: what a partial one changes, and what is shown."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import InvalidError
from libs.common.facts.provider import SmtpEndpoint
from services.providers.accounts.credential_rules import (
    Block,
    Credentials,
    accept,
    changes,
    check_endpoint,
    masked,
    merge,
)

ENDPOINT = SmtpEndpoint(host="smtp.example.com", port=587, encryption="starttls", accept_invalid_certs=False)
LOGIN = {"username": "postmaster@example.com", "password": "s3cret-password"}
STORED = Credentials(ENDPOINT, LOGIN)
OPEN = Credentials(ENDPOINT, {})
SES = Credentials(None, {"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI"})
FULL: dict[str, Any] = {**ENDPOINT.model_dump(), "username": None, "password": None}


@pytest.mark.parametrize(
    "block",
    [
        {},
        {"username": "", "password": ""},
        {"username": "post....com"},
        {"username": "post....com", "password": "***"},
        {"host": "", "password": "***"},
        {"port": 587, "encryption": "starttls", "accept_invalid_certs": False},
        {"username": "postmaster@example.com"},
        {"password": "s3cret-password"},
    ],
)
def test_absent_empty_masked_and_equal_members_change_nothing(block: Block) -> None:
    merged = merge("smtp", STORED, block)
    assert merged == STORED
    assert changes("smtp", STORED, merged) == []


@pytest.mark.parametrize(
    ("block", "changed"),
    [
        ({"host": "other.example.com"}, ["smtp_credentials.host"]),
        ({"port": 465, "encryption": "tls"}, ["smtp_credentials.encryption", "smtp_credentials.port"]),
        ({"accept_invalid_certs": True}, ["smtp_credentials.accept_invalid_certs"]),
        ({"password": "new"}, ["smtp_credentials.password"]),
        ({"username": "somebody"}, ["smtp_credentials.username"]),
    ],
)
def test_what_is_given_changes_and_the_rest_stays(block: Block, changed: list[str]) -> None:
    merged = merge("smtp", STORED, block)
    assert changes("smtp", STORED, merged) == changed
    assert merged.secret["password"] == block.get("password", LOGIN["password"]), (
        "a new host does not lose the password"
    )


def test_username_null_clears_user_and_password() -> None:
    merged = merge("smtp", STORED, {"username": None, "password": "ignored"})
    assert merged.secret == {}
    assert changes("smtp", STORED, merged) == ["smtp_credentials.password", "smtp_credentials.username"]
    assert masked("smtp", merged)["username"] == ""
    assert masked("smtp", merged)["password"] is None


@pytest.mark.parametrize(
    ("stored", "block"),
    [
        (OPEN, {"username": "somebody"}),
        (OPEN, {"username": "somebody", "password": ""}),
        (OPEN, {"username": "somebody", "password": "***"}),
        (STORED, {"password": None}),
    ],
)
def test_a_username_without_a_password_is_refused(stored: Credentials, block: Block) -> None:
    with pytest.raises(InvalidError, match="password"):
        merge("smtp", stored, block)


def test_a_password_without_a_username_is_discarded() -> None:
    assert merge("smtp", OPEN, {"password": "alone"}).secret == {}
    assert accept("smtp", {**FULL, "password": "alone"}).secret == {}
    assert accept("smtp", {**FULL, "username": "  ", "password": "alone"}).secret == {}


def test_a_new_provider_with_a_username_needs_a_password() -> None:
    with pytest.raises(InvalidError, match=r"smtp_credentials\.password"):
        accept("smtp", {**FULL, "username": "somebody"})
    assert accept("smtp", {**FULL, **LOGIN}) == STORED


def test_answers_show_masks() -> None:
    assert masked("smtp", STORED) == {**ENDPOINT.model_dump(), "username": "post....com", "password": "***"}
    assert masked("ses", SES) == {"access_key_id": "AKIA...MPLE", "secret_access_key": "***"}
    scaleway = Credentials(None, {"api_key": "0123456789abcdef", "project_id": "11111111-2222"})
    assert masked("scaleway", scaleway) == {"api_key": "***", "project_id": "11111111-2222"}


@pytest.mark.parametrize(
    "block", [{}, {"access_key_id": "AKIA...MPLE"}, {"access_key_id": "", "secret_access_key": "***"}]
)
def test_ses_keys_stay_when_their_masks_come_back(block: Block) -> None:
    assert merge("ses", SES, block) == SES


def test_a_new_ses_key_replaces_the_old_one() -> None:
    merged = merge("ses", SES, {"access_key_id": "AKIAI44QH8DHBEXAMPLE", "secret_access_key": "je7MtGbClwBF"})
    assert changes("ses", SES, merged) == ["ses_credentials.access_key_id", "ses_credentials.secret_access_key"]


ELSEWHERE = "http://localhost:4566/ses"
CUSTOM = Credentials(None, {**SES.secret, "endpoint_url": ELSEWHERE})


def test_a_custom_endpoint_is_shown_in_clear_where_there_is_one() -> None:
    assert accept("ses", {**SES.secret, "endpoint_url": ELSEWHERE}) == CUSTOM
    assert accept("ses", {**SES.secret, "endpoint_url": None}) == SES
    shown = masked("ses", CUSTOM)
    assert shown == {"access_key_id": "AKIA...MPLE", "secret_access_key": "***", "endpoint_url": ELSEWHERE}
    assert merge("ses", CUSTOM, shown) == CUSTOM
    assert "endpoint_url" not in masked("ses", SES)


def test_null_clears_a_custom_endpoint_and_nothing_given_keeps_it() -> None:
    for kept in ({}, {"endpoint_url": ""}, {"endpoint_url": ELSEWHERE}):
        assert merge("ses", CUSTOM, kept) == CUSTOM
    cleared = merge("ses", CUSTOM, {"endpoint_url": None})
    assert cleared == SES
    assert changes("ses", CUSTOM, cleared) == ["ses_credentials.endpoint_url"]


def test_a_custom_endpoint_is_set_only_where_that_is_allowed() -> None:
    other = Credentials(None, {**SES.secret, "endpoint_url": "https://other.example"})
    for before, after in ((None, CUSTOM), (SES, CUSTOM), (CUSTOM, other)):
        with pytest.raises(InvalidError, match=r"ses_credentials\.endpoint_url"):
            check_endpoint("ses", before, after, allowed=False)
        check_endpoint("ses", before, after, allowed=True)
    for before, after in ((None, SES), (CUSTOM, CUSTOM), (CUSTOM, SES)):
        check_endpoint("ses", before, after, allowed=False)


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1))
def test_sending_back_what_was_shown_never_changes_a_login(username: str, password: str) -> None:
    stored = Credentials(ENDPOINT, {"username": username, "password": password})
    shown = masked("smtp", stored)
    assert merge("smtp", stored, shown) == stored


def test_no_credential_shows_in_a_repr() -> None:
    assert "s3cret" not in repr(STORED)
    assert "postmaster" not in repr(STORED)
