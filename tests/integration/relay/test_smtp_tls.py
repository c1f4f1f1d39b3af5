"""RELIABILITY 3.6: encryption is required, verified and never given up; credentials travel only inside it."""

import base64
import logging
import socket
import ssl
from ipaddress import ip_address
from pathlib import Path

import pytest
from pydantic import SecretStr

from libs.common.relay.outbound import OutboundPolicy
from libs.common.relay.port import Trouble
from libs.common.relay.smtp import Timeouts, open_smtp_relay
from libs.common.relay.smtp_dial import CannotConnect
from tests.integration.relay.common import BOB, HASTY, PATIENT, outcomes, patient_but, settings, submission
from tests.support import aio
from tests.support.certificates import Authority, authority, self_signed
from tests.support.relay import Act, Script, ScriptedRelay, close, hang, raw, say

USER, PASSWORD = "alice@a.example", "correct horse battery"
CREDENTIALS = {"username": USER, "password": SecretStr(PASSWORD)}


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("certificates"))


async def at_home(_host: str, _port: int) -> tuple[str, ...]:
    """Every name is this machine, without being called localhost: so certificates are verified in earnest."""
    return ("127.0.0.1",)


def patience(script: Script) -> Timeouts:
    """Short only where this script says nothing."""
    return patient_but(command=2 * HASTY) if hang() in script.values() else PATIENT


def tried(relay: ScriptedRelay, **changes: object) -> Trouble | None:
    """`check_credentials` against this relay."""

    async def run() -> Trouble | None:
        async with relay:
            return await open_smtp_relay(settings(relay.port, **changes), resolver=at_home).check_credentials()

    return aio.run(run())


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


# ------------------------------------------------------------------------------------------ credentials


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        ({}, "configuration", 535),
        ({"AUTH": say("534 5.7.9 too weak")}, "configuration", 534),
        ({"AUTH": say("454 4.7.0 temporary authentication failure")}, "connection", 454),
        ({"AUTH": say("421 4.7.0 too many failures", "close")}, "connection", 421),
        ({"AUTH": close()}, "connection", None),
        ({"AUTH": hang()}, "connection", None),
    ],
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_login_that_fails_is_never_a_recipients_fault(
    script: Script, kind: str, code: int | None, mechanism: str
) -> None:
    relay = ScriptedRelay(script, login=(USER, "another"), mechanisms=(mechanism,))

    async def run() -> None:
        async with relay:
            ours = open_smtp_relay(settings(relay.port, timeouts=patience(script), **CREDENTIALS))
            trouble = (await ours.send(submission())).trouble
            assert trouble is not None
            assert (trouble.kind, trouble.smtp_code) == (kind, code)
            await ours.close()

    aio.run(run())
    assert relay.sessions[0].verbs().count("AUTH") == 1
    assert relay.messages == []


def test_a_relay_without_a_known_mechanism_is_configuration_trouble() -> None:
    relay = ScriptedRelay(login=(USER, PASSWORD), mechanisms=("CRAM-MD5", "XOAUTH2"))
    trouble = tried(relay, **CREDENTIALS)
    assert trouble is not None
    assert trouble.kind == "configuration"
    assert trouble.text.startswith("auth_not_offered")
    assert relay.sessions[0].login is None


def test_without_a_user_nobody_logs_in() -> None:
    relay = ScriptedRelay(login=(USER, PASSWORD))
    assert tried(relay) is None
    assert relay.sessions[0].login is None


def test_a_relay_that_wants_a_login_we_do_not_have_is_configuration_trouble() -> None:
    async def run() -> None:
        async with ScriptedRelay(login=(USER, PASSWORD)) as relay:
            ours = open_smtp_relay(settings(relay.port))
            trouble = (await ours.send(submission())).trouble
            assert trouble is not None
            assert (trouble.kind, trouble.smtp_code) == ("configuration", 530)
            await ours.close()

    aio.run(run())


@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "2001:db8::1"])
def test_a_password_never_crosses_the_network_in_clear_text(address: str) -> None:
    async def run() -> None:
        ours = open_smtp_relay(settings(25, host="localhost", **CREDENTIALS))
        with socket.socket() as sock, pytest.raises(CannotConnect) as refused:
            await ours.dialer._client(sock, ip_address(address))
        assert refused.value.trouble.kind == "configuration"
        assert "clear text" in refused.value.trouble.text

    aio.run(run())


def test_on_this_machine_a_password_may_go_unencrypted() -> None:
    relay = ScriptedRelay(login=(USER, PASSWORD))
    assert tried(relay, **CREDENTIALS) is None
    assert relay.sessions[0].login == ("PLAIN", USER, PASSWORD)


@pytest.mark.parametrize("echo", ["password", "base64", "plain"])
def test_a_relay_that_echoes_the_credentials_does_not_get_them_into_our_words(
    echo: str, caplog: pytest.LogCaptureFixture
) -> None:
    words = {
        "password": PASSWORD,
        "base64": base64.b64encode(PASSWORD.encode()).decode(),
        "plain": base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode(),
    }[echo]
    relay = ScriptedRelay({"AUTH": say(f"535 5.7.8 wrong: {words} for {USER}")}, login=(USER, PASSWORD))
    with caplog.at_level(logging.DEBUG):
        trouble = tried(relay, **CREDENTIALS)
    assert trouble is not None
    assert trouble.text == "5.7.8 wrong: *** for ***"
    for shown in (repr(trouble), caplog.text):
        assert words not in shown
        assert PASSWORD not in shown


def test_an_echo_in_a_later_reply_is_struck_out_too() -> None:
    async def run() -> None:
        script = {"RCPT": say(f"550 5.1.1 you are {PASSWORD}")}
        async with ScriptedRelay(script, login=(USER, PASSWORD)) as relay:
            ours = open_smtp_relay(settings(relay.port, **CREDENTIALS))
            result = await ours.send(submission())
            assert result.recipients[0].text == "5.1.1 you are ***"
            await ours.close()

    aio.run(run())


# ------------------------------------------------------------------------------------------- where we connect


def test_a_refused_connection_on_localhost_says_what_that_means_in_a_container() -> None:
    async def run() -> Trouble | None:
        async with ScriptedRelay() as relay:
            port = relay.port
        return await open_smtp_relay(settings(port, host="localhost")).check_credentials()

    trouble = aio.run(run())
    assert trouble is not None
    assert trouble.kind == "connection"
    assert "refused" in trouble.text
    assert "container" in (trouble.suggestion or "")


def test_a_host_that_leads_to_metadata_is_never_connected_to() -> None:
    async def metadata(_host: str, _port: int) -> tuple[str, ...]:
        return ("127.0.0.1", "169.254.169.254")

    async def run() -> None:
        async with ScriptedRelay() as relay:
            ours = open_smtp_relay(settings(relay.port, host="relay.test"), resolver=metadata)
            trouble = (await ours.send(submission())).trouble
            assert trouble is not None
            assert trouble.kind == "configuration"
            assert trouble.text.startswith("address_not_allowed")
            assert relay.sessions == []

    aio.run(run())


def test_our_own_servers_are_not_spoken_to() -> None:
    async def run() -> None:
        async with ScriptedRelay() as relay:
            policy = OutboundPolicy(own_ports=frozenset({relay.port}))
            ours = open_smtp_relay(settings(relay.port), policy=policy)
            trouble = await ours.check_credentials()
            assert trouble is not None
            assert trouble.text.startswith("address_not_allowed")
            assert relay.sessions == []

    aio.run(run())


def test_a_name_that_changes_its_address_cannot_slip_past_the_check() -> None:
    answers = iter([("127.0.0.1",), ("169.254.169.254",)])

    async def rebinding(_host: str, _port: int) -> tuple[str, ...]:
        return next(answers)

    async def run() -> None:
        async with ScriptedRelay() as relay:
            ours = open_smtp_relay(settings(relay.port, host="relay.test"), resolver=rebinding)
            assert await ours.check_credentials() is None
            assert len(relay.sessions) == 1

    aio.run(run())


@pytest.mark.parametrize("host", ["no-such-host.invalid", "x" * 300, "a..b"])
def test_a_name_without_address_is_a_connection_trouble(host: str) -> None:
    trouble = aio.run(open_smtp_relay(settings(25, host=host)).check_credentials())
    assert trouble is not None
    assert trouble.kind == "connection"
    assert "resolved" in trouble.text


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async def two(_host: str, _port: int) -> tuple[str, ...]:
        return ("::1", "127.0.0.1")

    async def run() -> None:
        async with ScriptedRelay() as relay:
            ours = open_smtp_relay(settings(relay.port, host="relay.test", timeouts=PATIENT), resolver=two)
            assert await ours.check_credentials() is None

    aio.run(run())


def test_checking_credentials_takes_no_longer_than_its_limit() -> None:
    relay = ScriptedRelay({"connect": hang()})
    trouble = tried(relay, timeouts=patient_but(check=HASTY))
    assert trouble is not None
    assert trouble.kind == "connection"


def test_smtp_knows_no_identities() -> None:
    async def run() -> None:
        ours = open_smtp_relay(settings(25))
        for identity in (await ours.create_identity("a.example"), await ours.verify_identity("a.example")):
            assert (identity.status, identity.records, identity.error) == ("verified", (), None)
        await ours.delete_identity("a.example")

    aio.run(run())
