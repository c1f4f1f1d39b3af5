"""What SES is told by its owner: shown to nobody, and only an endpoint that can be one."""

import pytest
from pydantic import SecretStr

from libs.common.relay.redact import redact
from libs.common.relay.ses.settings import SesSettings, endpoint_trouble

KEY_ID, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalr/XUtn+FEMI K7="
SETTINGS = SesSettings(KEY_ID, SecretStr(SECRET), "eu-west-1")


def test_neither_repr_nor_str_shows_the_credentials() -> None:
    assert not any(secret in f"{SETTINGS} {SETTINGS!r}" for secret in (KEY_ID, SECRET))


@pytest.mark.parametrize(
    "seen",
    [
        f"Credential={KEY_ID}/20260504/eu-west-1/ses/aws4_request",
        f"secret {SECRET}",
        "?secret=wJalr%2FXUtn%2BFEMI%20K7%3D&x",
        "?secret=wJalr%2FXUtn%2BFEMI+K7%3D&x",
        "/wJalr/XUtn%2BFEMI%20K7%3D/",
    ],
)
def test_they_are_struck_out_however_they_travel(seen: str) -> None:
    said = redact(seen, SETTINGS.secrets())
    assert "***" in said
    assert "wJalr" not in said
    assert KEY_ID not in said


@pytest.mark.parametrize(
    "url", ["https://email.example", "http://127.0.0.1:4566", "https://[::1]:8443/ses", "http://a/"]
)
def test_an_endpoint_is_a_url_of_a_host(url: str) -> None:
    assert endpoint_trouble(url) is None


@pytest.mark.parametrize(
    "url",
    ["", "email.example", "ftp://a.example", "file:///etc/passwd", "https://", "https://user:pass@a.example", "https://@a",
     "https://a.example?x=1", "https://a.example/#x", "https://a:99999", "https://a:0", "https://[::1", "http://a:x"],
)  # fmt: skip
def test_nothing_else_is(url: str) -> None:
    trouble = endpoint_trouble(url)
    assert trouble is not None
    assert trouble.kind == "configuration"
    assert "pass" not in trouble.text
