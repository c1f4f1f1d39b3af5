"""Who takes encryption away, or makes it old, gets no password and no mail."""

import asyncio
import ssl
import warnings
from pathlib import Path

import pytest

from libs.common.relay.smtp.connect import tls_context
from libs.common.relay.smtp.relay import open_smtp_relay
from tests.integration.relay.common import CREDENTIALS, PASSWORD, USER, settings, submission, tried
from tests.support import aio
from tests.support.certificates import self_signed
from tests.support.relay import ScriptedRelay


def test_without_starttls_the_relay_sees_ehlo_and_nothing_more() -> None:
    """Whoever strips the offer (CVE-2016-0772) gets neither password nor mail, though AUTH is offered."""
    heard = bytearray()

    async def strip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 relay.test ESMTP\r\n")
        heard.extend(await reader.readline())
        writer.write(b"250-relay.test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN\r\n")
        heard.extend(await reader.read())
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(strip, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            ours = open_smtp_relay(settings(port, encryption="starttls", **CREDENTIALS))
            trouble = (await ours.send(submission())).trouble
            assert trouble is not None
            assert trouble.text.startswith("starttls_not_offered")
            await ours.close()

    aio.run(run())
    assert bytes(heard) == b"EHLO [127.0.0.1]\r\n"


@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_tls_before_1_2_is_refused(tmp_path: Path, encryption: str) -> None:
    old = self_signed(tmp_path, "relay.test")
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that it is old is the point
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    relay = ScriptedRelay(
        tls="implicit" if encryption == "tls" else "starttls", certificate=old, login=(USER, PASSWORD)
    )
    trouble = tried(relay, host="relay.test", encryption=encryption, accept_invalid_certs=True, **CREDENTIALS)
    assert trouble is not None
    assert all(session.login is None for session in relay.sessions)
    assert tls_context(None, verify=False).minimum_version == ssl.TLSVersion.TLSv1_2
