"""Logging in: PLAIN (RFC 4616) and LOGIN (draft-murchison-sasl-login-00), as relays really speak them.

A refusal may be about the mechanism and not about the password: an appliance offers PLAIN and answers 504 to it,
another knows LOGIN only without the name in the first line. So each mechanism that is offered gets its try, and the
credentials are wrong when all of them have said so.

LOGIN has no standard; the draft's challenges are `User Name` and `Password`, but relays write them as they like.
    ours                     the relay's
    AUTH LOGIN <user>        334 password challenge      the usual case, one round trip saved
                             334 user challenge          the name was not looked at: send it again (seen with Indy's
                                                         server and OpenSMTPD, 2012 to 2019)
                             501 and other refusals      it takes no initial response: AUTH LOGIN alone
    <user>, <password>       235
"""

import base64
import binascii

import aiosmtplib
from aiosmtplib import SMTPAuthenticationError, SMTPResponse, SMTPServerDisconnected

MECHANISMS = ("plain", "login")
"""In the order in which they are tried: PLAIN is a standard, and one round trip shorter."""
_REFUSES_THE_CREDENTIALS = frozenset({534, 535, 538})
_CHALLENGE = 334
_MOST_CHALLENGES = 4


class HungUp(Exception):
    """The relay closed the connection after it had refused a mechanism; another one is left to try."""

    def __init__(self, tried: str) -> None:
        super().__init__(tried)
        self.tried = tried


def offered(smtp: aiosmtplib.SMTP, *, first: str | None, without: frozenset[str]) -> list[str]:
    """The mechanisms that we and the relay know. `first`: the one that worked before."""
    known = [name for name in MECHANISMS if name in smtp.server_auth_methods and name not in without]
    return sorted(known, key=lambda name: name != first)


async def log_in(smtp: aiosmtplib.SMTP, user: str, password: str, mechanisms: list[str]) -> str:
    """The mechanism that worked.

    Raises:
        SMTPAuthenticationError: every mechanism was refused; with the refusal of the credentials, if there was one.
        HungUp: the relay closed the connection after one of several refusals.
        SMTPException: as from any other command.
    """
    refusals: list[SMTPAuthenticationError] = []
    for name in mechanisms:
        try:
            answer = await (_plain if name == "plain" else _login)(smtp, user, password)
        except SMTPServerDisconnected:
            if not refusals:
                raise
            raise HungUp(mechanisms[len(refusals) - 1]) from None
        if answer.code == aiosmtplib.SMTPStatus.auth_successful:
            return name
        refusals.append(SMTPAuthenticationError(answer.code, answer.message))
        if answer.code // 100 != 5:
            # Temporary, or goodbye: that is the relay's word on every mechanism.
            raise refusals[-1]
    raise next((each for each in refusals if each.code in _REFUSES_THE_CREDENTIALS), refusals[-1])


async def _plain(smtp: aiosmtplib.SMTP, user: str, password: str) -> SMTPResponse:
    return await smtp.execute_command(b"AUTH", b"PLAIN", _encoded(f"\0{user}\0{password}"))


async def _login(smtp: aiosmtplib.SMTP, user: str, password: str) -> SMTPResponse:
    answer = await smtp.execute_command(b"AUTH", b"LOGIN", _encoded(user))
    if answer.code // 100 == 5 and answer.code not in _REFUSES_THE_CREDENTIALS:
        answer = await smtp.execute_command(b"AUTH", b"LOGIN")
        return await _challenged(smtp, answer, user, password, named=False)
    return await _challenged(smtp, answer, user, password, named=True)


async def _challenged(
    smtp: aiosmtplib.SMTP, answer: SMTPResponse, user: str, password: str, *, named: bool
) -> SMTPResponse:
    """Answer what is asked for; where the challenge does not tell, the name comes first. `named`: it has been sent."""
    for _ in range(_MOST_CHALLENGES):
        if answer.code != _CHALLENGE:
            return answer
        wanted = _asks_for(answer.message)
        if wanted == "user" or (wanted is None and not named):
            named = True
            answer = await smtp.execute_command(_encoded(user))
        else:
            answer = await smtp.execute_command(_encoded(password))
    return answer


def _asks_for(challenge: str) -> str | None:
    try:
        text = base64.b64decode(challenge.strip(), validate=True).decode("utf-8", "replace").lower()
    except (binascii.Error, ValueError):
        text = challenge.lower()  # some relays do not encode it
    return next((name for name in ("user", "pass") if name in text), None)


def _encoded(text: str) -> bytes:
    return base64.b64encode(text.encode())
