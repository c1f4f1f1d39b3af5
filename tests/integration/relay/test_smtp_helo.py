"""What EHLO says: the provider's setting, else this machine's full name, else the address literal of our end."""

import socket

import pytest

from libs.common.relay.smtp import dial as smtp_dial
from tests.integration.relay.common import BOB, outcomes, sent
from tests.support import aio
from tests.support.relay import ScriptedRelay


@pytest.mark.parametrize(
    ("setting", "machine", "spoken"),
    [
        ("mail.case.example", "vm.example.com", b"EHLO mail.case.example"),
        (None, "vm.example.com", b"EHLO vm.example.com"),
        (None, "vm", b"EHLO [127.0.0.1]"),
        (None, "localhost.localdomain", b"EHLO [127.0.0.1]"),
    ],
)
def test_ehlo_says_the_best_name_there_is(
    setting: str | None, machine: str, spoken: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp_dial, "_own_name", [])
    monkeypatch.setattr(socket, "getfqdn", lambda: machine)
    relay = ScriptedRelay()
    assert outcomes(aio.run(sent(relay, helo_name=setting))) == {BOB: ("accepted", 250)}
    assert relay.sessions[0].commands[0] == spoken
