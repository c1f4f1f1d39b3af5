"""Challenges of AUTH LOGIN that no real relay of the tests plays."""

from typing import cast

import aiosmtplib
import pytest
from aiosmtplib import SMTPResponse

from libs.common.relay.smtp.auth import log_in


class AskingForEver:
    """Answers every command with the challenge for the user's name."""

    def __init__(self) -> None:
        self.commands = 0

    async def execute_command(self, *_: bytes) -> SMTPResponse:
        self.commands += 1
        return SMTPResponse(334, "VXNlcm5hbWU6")


async def test_a_relay_that_asks_for_ever_is_left() -> None:
    asking = AskingForEver()
    with pytest.raises(aiosmtplib.SMTPAuthenticationError) as refused:
        await log_in(cast("aiosmtplib.SMTP", asking), "user", "password", ["login"])
    assert refused.value.code == 334
    assert asking.commands <= 5
