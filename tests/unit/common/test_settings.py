"""Settings: everything that is missing is said at once."""

from pathlib import Path

import pytest

from libs.common.jetstream.bootstrap import BootstrapSettings
from libs.common.settings import RelaySettings, Settings, SettingsError, load, own_ports, own_servers

GIVEN = {"TEMPS_NATS_URL": "nats://127.0.0.1:4222", "TEMPS_PRINCIPAL_KEY_FILE": "key"}


def test_variables_become_fields_with_their_types() -> None:
    settings = load(Settings, {**GIVEN, "TEMPS_HTTP_PORT": "81", "TEMPS_BRAND": ""})
    assert (settings.http_port, settings.principal_key_file, settings.brand) == (81, Path("key"), "Temps")


def test_every_missing_or_wrong_variable_is_named_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError) as raised:
        load(Settings, {"TEMPS_HTTP_PORT": "eighty"})
    said = capsys.readouterr().err
    for name in ("TEMPS_NATS_URL", "TEMPS_PRINCIPAL_KEY_FILE", "TEMPS_HTTP_PORT"):
        assert name in said
    assert raised.value.code == 2
    assert "eighty" not in said


def test_our_own_servers_are_known_by_name_and_port_said_or_usual() -> None:
    given = {
        **GIVEN,
        "TEMPS_NATS_URL": "nats://nats-1,nats://nats-2:4333",
        "TEMPS_NATS_MONITOR_URL": "http://nats-1:8333",
        "TEMPS_PUBLIC_URL": "https://mail.example.com",
        "TEMPS_HTTP_PORT": "8001",
        "TEMPS_KEYRING_FILE": "ring",
        "TEMPS_OWN_PORTS": "5432, 8002",
    }
    settings = load(RelaySettings, given)
    assert own_servers(settings) == {("nats-1", 4222), ("nats-2", 4333), ("nats-1", 8333)}
    assert own_ports(settings) == {4222, 4333, 8333, 8001, 5432, 8002}


@pytest.mark.parametrize(
    "url",
    ["mail.example.com", "ftp://mail.example.com", "https://", "https://x.example/?a=b", "http://[::1", "http://x:nix"],
)
def test_a_base_url_that_leads_nowhere_is_refused_at_the_start(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError):
        load(Settings, {**GIVEN, "TEMPS_PUBLIC_URL": url})
    assert capsys.readouterr().err.startswith("setting TEMPS_PUBLIC_URL: must be a URL like https://mail.example.com")


@pytest.mark.parametrize("url", ["https://mail.example.com", "http://localhost:8080/", "https://x.example/mail"])
def test_a_base_url_stays_as_it_was_given(url: str) -> None:
    assert load(Settings, {**GIVEN, "TEMPS_PUBLIC_URL": url}).public_url == url


@pytest.mark.parametrize("ports", ["abc", "25;465", "0", "25,70000", "-1"])
def test_ports_that_are_none_are_refused_with_an_example(ports: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError):
        load(RelaySettings, {**GIVEN, "TEMPS_KEYRING_FILE": "ring", "TEMPS_SMTP_PORTS": ports})
    assert "setting TEMPS_SMTP_PORTS: must be ports, separated by commas, like 25,465,587" in capsys.readouterr().err


def test_streams_are_not_made_of_settings_that_make_none(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError):
        load(BootstrapSettings, {**GIVEN, "TEMPS_CONTENT_RETENTION_DAYS": "-1", "TEMPS_STORE_BYTES": "much"})
    said = capsys.readouterr().err
    assert "TEMPS_CONTENT_RETENTION_DAYS" in said
    assert "TEMPS_STORE_BYTES" in said
