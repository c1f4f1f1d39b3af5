"""Credentials stay where they are needed."""

import base64
from dataclasses import replace
from urllib.parse import quote, quote_plus

import pytest
from pydantic import SecretStr

from libs.common.relay.redact import redact
from libs.common.relay.smtp.relay import SmtpSettings, open_smtp_relay

SETTINGS = SmtpSettings("relay.example", 587, "alice-user", SecretStr("hunter2-secret"))


def test_credentials_are_in_no_repr() -> None:
    relay = open_smtp_relay(SETTINGS)
    for shown in (repr(SETTINGS), str(SETTINGS), repr(relay), str(relay), repr(relay.dialer), repr(relay.terms)):
        assert "hunter2" not in shown
        assert "alice" not in shown
        assert base64.b64encode(b"hunter2-secret").decode() not in shown


@pytest.mark.parametrize("said", ["hunter2-secret &?", "alice-user", "\0alice-user\0hunter2-secret &?"])
def test_credentials_that_a_relay_quotes_are_struck_out_in_every_form(said: str) -> None:
    settings = replace(SETTINGS, password=SecretStr("hunter2-secret &?"))
    coded = base64.b64encode(said.encode()).decode()
    for form in (said, coded, coded.rstrip("="), quote(said), quote(said, safe=""), quote_plus(said)):
        shown = redact(f"535 you said {form}, no", settings.secrets())
        assert shown in {
            "535 you said ***, no",
            "535 you said  *** ***, no",
            "535 you said %00***%00***, no",
        }


def test_without_a_user_there_is_nothing_to_hide() -> None:
    assert SmtpSettings("relay.example", 587).secrets() == ()
