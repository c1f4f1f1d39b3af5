"""Credentials stay where they are needed."""

import base64

from pydantic import SecretStr

from libs.common.relay.smtp import SmtpSettings, open_smtp_relay

SETTINGS = SmtpSettings("relay.example", 587, "alice-user", SecretStr("hunter2-secret"))


def test_credentials_are_in_no_repr() -> None:
    relay = open_smtp_relay(SETTINGS)
    for shown in (repr(SETTINGS), str(SETTINGS), repr(relay), str(relay), repr(relay.dialer), repr(relay.terms)):
        assert "hunter2" not in shown
        assert "alice" not in shown
        assert base64.b64encode(b"hunter2-secret").decode() not in shown


def test_every_form_in_which_credentials_travel_is_known() -> None:
    secrets = SETTINGS.secrets()
    for text in (b"hunter2-secret", b"alice-user", b"\0alice-user\0hunter2-secret"):
        assert base64.b64encode(text).decode() in secrets
    assert "hunter2-secret" in secrets


def test_without_a_user_there_is_nothing_to_hide() -> None:
    assert SmtpSettings("relay.example", 587).secrets() == ()
