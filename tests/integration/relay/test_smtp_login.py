"""Credentials travel only where they may, and come back in no words of ours."""

import base64
import logging
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import pytest

from libs.common.relay.smtp.dial import CannotConnect
from libs.common.relay.smtp.relay import open_smtp_relay
from tests.integration.relay.common import (
    CREDENTIALS,
    PASSWORD,
    USER,
    patience,
    settings,
    submission,
    tried,
)
from tests.support import aio
from tests.support.certificates import self_signed
from tests.support.relay import Script, ScriptedRelay, close, hang, say


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


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_a_failed_login_leaves_nothing_that_is_in_the_next_ones_way(
    encryption: str, loop: Literal["uvloop", "asyncio"], tmp_path: Path
) -> None:
    """A socket closed behind its transport's back gave the next one its number, and asyncio refused that one."""
    relay = ScriptedRelay(
        tls="implicit" if encryption == "tls" else "starttls",
        certificate=self_signed(tmp_path, "127.0.0.1"),
        login=(USER, "another"),
    )

    async def run() -> None:
        async with relay:
            ours = open_smtp_relay(settings(relay.port, encryption=encryption, **CREDENTIALS))
            for _ in range(5):
                trouble = (await ours.send(submission())).trouble
                assert trouble is not None
                assert trouble.smtp_code == 535
            await ours.close()
            await relay.deserted()

    aio.run(run(), loop=loop)


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


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_a_password_never_crosses_the_internet_in_clear_text(address: str) -> None:
    async def run() -> None:
        ours = open_smtp_relay(settings(25, host="localhost", **CREDENTIALS))
        with socket.socket() as sock, pytest.raises(CannotConnect) as refused:
            await ours.dialer._client(sock, ip_address(address))
        assert refused.value.trouble.kind == "configuration"
        assert "clear text" in refused.value.trouble.text

    aio.run(run())


def test_to_a_relay_next_door_a_password_may_go_unencrypted_if_its_owner_says_so() -> None:
    async def run() -> None:
        ours = open_smtp_relay(settings(25, host="relay.test", **CREDENTIALS))
        with socket.create_server(("127.0.0.1", 0)) as server:
            sock = socket.create_connection(server.getsockname())
            client = await ours.dialer._client(sock, ip_address("10.0.0.1"))
            client.close()
            sock.close()

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
