"""Encryption is required, verified and never given up; credentials travel only inside it."""

import logging
import ssl
from pathlib import Path

import pytest

from libs.common.relay.smtp.relay import open_smtp_relay
from tests.integration.relay.common import (
    BOB,
    CREDENTIALS,
    HASTY,
    PASSWORD,
    USER,
    at_home,
    outcomes,
    patience,
    patient_but,
    settings,
    submission,
    tried,
)
from tests.support import aio
from tests.support.certificates import Authority, authority, self_signed
from tests.support.relay import Act, Script, ScriptedRelay, close, hang, raw, say


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("certificates"))


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_message_goes_out_encrypted_and_logged_in(trusted: Authority, encryption: str, mechanism: str) -> None:
    relay = ScriptedRelay(
        tls="implicit" if encryption == "tls" else "starttls",
        certificate=trusted.server("relay.test"),
        login=(USER, PASSWORD),
        mechanisms=(mechanism,),
    )

    async def run() -> None:
        async with relay:
            used = settings(
                relay.port, host="relay.test", encryption=encryption, ca_file=trusted.ca_file, **CREDENTIALS
            )
            ours = open_smtp_relay(used, resolver=at_home)
            for _ in range(3):
                assert outcomes(await ours.send(submission())) == {BOB: ("accepted", 250)}
            await ours.close()
            await relay.deserted()

    aio.run(run())
    (session,) = relay.sessions
    assert session.tls
    assert session.login == (mechanism, USER, PASSWORD)
    assert session.before_tls == b""
    assert relay.server_names == ["relay.test"]
    assert session.verbs().count("EHLO") == (2 if encryption == "starttls" else 1)
    assert len(relay.messages) == 3


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_large_content_passes_through_tls(trusted: Authority, encryption: str, loop: str) -> None:
    large = b"Subject: large\r\n\r\n" + (b"." * 70 + b"\r\n") * 20_000
    relay = ScriptedRelay(
        tls="implicit" if encryption == "tls" else "starttls", certificate=trusted.server("127.0.0.1")
    )

    async def run() -> None:
        async with relay:
            ours = open_smtp_relay(settings(relay.port, encryption=encryption))
            assert outcomes(await ours.send(submission(message=large))) == {BOB: ("accepted", 250)}
            await ours.close()

    aio.run(run(), loop="asyncio" if loop == "asyncio" else "uvloop")
    assert relay.messages[0].raw == large


def bad_certificate(kind: str, trusted: Authority, directory: Path) -> ssl.SSLContext:
    return {
        "self-signed": lambda: self_signed(directory, "relay.test", "127.0.0.1"),
        "expired": lambda: trusted.server("relay.test", expired=True, name="expired"),
        "wrong host": lambda: trusted.server("other.test", name="other"),
    }[kind]()


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
@pytest.mark.parametrize("kind", ["self-signed", "expired", "wrong host"])
def test_a_bad_certificate_is_configuration_trouble(
    trusted: Authority, tmp_path: Path, encryption: str, kind: str
) -> None:
    relay = ScriptedRelay(
        tls="implicit" if encryption == "tls" else "starttls",
        certificate=bad_certificate(kind, trusted, tmp_path),
        login=(USER, PASSWORD),
    )
    trouble = tried(relay, host="relay.test", encryption=encryption, ca_file=trusted.ca_file, **CREDENTIALS)
    assert trouble is not None
    assert trouble.kind == "configuration"
    assert "certificate" in trouble.text
    assert trouble.suggestion is not None
    assert relay.sessions == [] or relay.sessions[0].login is None


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
@pytest.mark.parametrize("kind", ["self-signed", "expired", "wrong host"])
def test_a_bad_certificate_is_taken_where_its_owner_says_so(
    trusted: Authority, tmp_path: Path, encryption: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    relay = ScriptedRelay(
        tls="implicit" if encryption == "tls" else "starttls", certificate=bad_certificate(kind, trusted, tmp_path)
    )
    with caplog.at_level(logging.WARNING):
        assert tried(relay, host="relay.test", encryption=encryption, accept_invalid_certs=True) is None
    assert "not verified" in caplog.text


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_loopback_takes_any_certificate(trusted: Authority, tmp_path: Path, encryption: str, host: str) -> None:
    relay = ScriptedRelay(
        tls="implicit" if encryption == "tls" else "starttls",
        certificate=bad_certificate("wrong host", trusted, tmp_path),
    )
    assert tried(relay, host=host, encryption=encryption) is None


def test_a_name_that_merely_leads_to_loopback_is_verified(trusted: Authority, tmp_path: Path) -> None:
    relay = ScriptedRelay(tls="starttls", certificate=bad_certificate("self-signed", trusted, tmp_path))
    trouble = tried(relay, host="localhost.attacker.test", encryption="starttls")
    assert trouble is not None
    assert trouble.kind == "configuration"


def test_a_relay_without_starttls_is_never_spoken_to_in_plain_text() -> None:
    relay = ScriptedRelay(login=(USER, PASSWORD))
    trouble = tried(relay, encryption="starttls", **CREDENTIALS)
    assert trouble is not None
    assert trouble.kind == "configuration"
    assert trouble.text.startswith("starttls_not_offered")
    assert relay.sessions[0].verbs() == ["EHLO"]


def test_a_relay_that_knows_only_helo_offers_no_encryption() -> None:
    trouble = tried(ScriptedRelay({"EHLO": say("502 what?")}), encryption="starttls")
    assert trouble is not None
    assert trouble.text.startswith("starttls_not_offered")


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"STARTTLS": say("454 4.7.0 TLS not available")}, "configuration"),
        ({"STARTTLS": say("501 syntax")}, "configuration"),
        ({"STARTTLS": say("421 closing", "close")}, "connection"),
        ({"STARTTLS": close()}, "connection"),
        ({"STARTTLS": hang()}, "connection"),
        ({"STARTTLS": raw(b"nonsense\r\n")}, "connection"),
        ({"STARTTLS": say("220 go ahead", "close")}, "connection"),
    ],
)
def test_starttls_that_fails_ends_the_session(trusted: Authority, script: Script, kind: str) -> None:
    relay = ScriptedRelay(script, tls="starttls", certificate=trusted.server("relay.test"), login=(USER, PASSWORD))
    trouble = tried(relay, encryption="starttls", timeouts=patience(script), **CREDENTIALS)
    assert trouble is not None
    assert trouble.kind == kind
    assert relay.sessions[0].login is None
    assert set(relay.sessions[0].verbs()) == {"EHLO", "STARTTLS"}


@pytest.mark.parametrize(
    "injected", [b"250-evil\r\n250 AUTH PLAIN\r\n", b"250-evil", b"250 SIZE 1\r\n250 SIZE 1\r\n", b"421 bye\r\n"]
)
def test_words_smuggled_in_before_tls_do_not_survive_the_handshake(trusted: Authority, injected: bytes) -> None:
    """CVE-2011-0411: one segment with the go-ahead and what a middleman adds to it."""
    script = {"STARTTLS": Act(b"220 go ahead\r\n" + injected)}
    relay = ScriptedRelay(script, tls="starttls", certificate=trusted.server("relay.test"), login=(USER, PASSWORD))

    async def run() -> None:
        async with relay:
            used = settings(relay.port, host="relay.test", encryption="starttls", ca_file=trusted.ca_file)
            ours = open_smtp_relay(used, resolver=at_home)
            wire = await ours.dialer.open()
            assert set(wire.extensions) == {"pipelining", "size", "8bitmime", "enhancedstatuscodes", "smtputf8", "auth"}
            assert wire.extensions["size"] == "10485760"
            assert wire.usable
            wire.abort()
            await wire.closed

    aio.run(run())
    assert relay.sessions[0].verbs() == ["EHLO", "STARTTLS", "EHLO"]


def test_what_was_offered_before_tls_is_forgotten(trusted: Authority) -> None:
    script = {"EHLO": [say("250-relay.test\n250-STARTTLS\n250-SMTPUTF8\n250 AUTH PLAIN"), say("250 relay.test")]}
    relay = ScriptedRelay(script, tls="starttls", certificate=trusted.server("relay.test"))
    trouble = tried(relay, encryption="starttls", **CREDENTIALS)
    assert trouble is not None
    assert trouble.text.startswith("auth_not_offered")
    assert relay.sessions[0].login is None


def test_tls_to_a_relay_that_speaks_plain_says_what_to_change() -> None:
    trouble = tried(ScriptedRelay(), encryption="tls")
    assert trouble is not None
    assert trouble.kind == "configuration"
    assert "starttls" in (trouble.suggestion or "")


def test_plain_to_a_relay_that_speaks_tls_is_a_connection_trouble(trusted: Authority) -> None:
    relay = ScriptedRelay(tls="implicit", certificate=trusted.server("relay.test"))
    trouble = tried(relay, encryption="none", timeouts=patient_but(banner=HASTY))
    assert trouble is not None
    assert trouble.kind == "connection"
