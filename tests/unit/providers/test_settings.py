"""Where DNS is asked, as it stands in an environment variable."""

from pathlib import Path

import pytest

from libs.common.settings import SettingsError, load
from services.providers.settings import NameServer, ProvidersSettings

NEEDED = {
    "TEMPS_NATS_URL": "nats://127.0.0.1:4222",
    "TEMPS_PRINCIPAL_KEY_FILE": str(Path("key")),
    "TEMPS_KEYRING_FILE": str(Path("ring")),
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("192.0.2.1:5353", NameServer("192.0.2.1", 5353)),
        ("192.0.2.1", NameServer("192.0.2.1", 53)),
        ("[2001:db8::1]:5353", NameServer("2001:db8::1", 5353)),
        ("[2001:db8::1]", NameServer("2001:db8::1", 53)),
        ("2001:db8::1", NameServer("2001:db8::1", 53)),
        ("", None),
    ],
)
def test_a_name_server_is_an_address_and_perhaps_a_port(given: str, expected: NameServer | None) -> None:
    assert load(ProvidersSettings, NEEDED | {"TEMPS_DNS_RESOLVER": given}).dns_resolver == expected


@pytest.mark.parametrize("given", ["dns.example:53", "192.0.2.1:dns", "192.0.2.1:0", "192.0.2.1:65536", ":53", "x"])
def test_anything_else_ends_the_start_naming_the_variable(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError):
        load(ProvidersSettings, NEEDED | {"TEMPS_DNS_RESOLVER": given})
    assert "TEMPS_DNS_RESOLVER" in capsys.readouterr().err
