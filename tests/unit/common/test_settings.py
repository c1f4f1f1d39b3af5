"""Settings: everything that is missing is said at once."""

from pathlib import Path

import pytest

from libs.common.settings import Settings, SettingsError, load

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
