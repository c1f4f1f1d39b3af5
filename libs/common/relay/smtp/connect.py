"""From a relay's settings to an established SMTP session, or to plain words for why there is none."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import cast

import aiosmtplib

from libs.common.relay.classify import Stage, provider_trouble
from libs.common.relay.outbound import (
    Address,
    OutboundPolicy,
    Resolver,
    is_loopback_name,
    is_public,
    resolve,
    unwrapped,
)
from libs.common.relay.port import Trouble
from libs.common.relay.redact import redact
from libs.common.relay.smtp.auth import HungUp, log_in, offered
from libs.common.relay.smtp.dial import CannotConnect, address_literal, dial, own_name
from libs.common.relay.smtp.settings import SmtpSettings
from libs.common.relay.smtp.wire import Wire

log = logging.getLogger(__name__)

_STEPS: dict[Stage, str] = {"connect": "greeting", "ehlo": "EHLO", "starttls": "STARTTLS", "auth": "AUTH"}
_PLAIN_SPOKEN = "The relay may speak plain SMTP on this port: 'tls' is for port 465, 'starttls' for 587."
_OTHER_ENCRYPTION = "Port 465 usually wants encryption 'tls'; a relay without any needs 'none'."
_CERTIFICATE = "Use the name the certificate was issued for, or accept_invalid_certs if you trust this relay."


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens sessions with one relay."""

    settings: SmtpSettings
    policy: OutboundPolicy = field(default_factory=OutboundPolicy)
    resolver: Resolver = resolve
    contexts: dict[bool, ssl.SSLContext] = field(default_factory=dict, repr=False)
    """By whether certificates are verified; loading trusted ones takes milliseconds, so it is done once."""
    worked: list[str] = field(default_factory=list, repr=False)
    """The AUTH mechanism that worked last: a refusal of another one may count as a wrong password."""

    async def open(self) -> Wire:
        """Connect, encrypt, log in. Raises `CannotConnect`."""
        refused: set[str] = set()
        while True:
            try:
                return await self._open(frozenset(refused))
            except HungUp as gone:
                # Each mechanism is given up once, so this ends.
                refused.add(gone.tried)

    async def _open(self, refused: frozenset[str]) -> Wire:
        """Raises `CannotConnect`, or `HungUp` when there is another mechanism than the `refused` ones."""
        settings = self.settings
        sock, address = await dial(
            settings.host,
            settings.port,
            policy=self.policy,
            resolver=self.resolver,
            timeout=settings.timeouts.connect,
        )
        smtp: aiosmtplib.SMTP | None = None
        wire: Wire | None = None
        try:
            smtp = await self._client(sock, address)
            wire = await self._session(smtp, refused)
        finally:
            if smtp is None:
                sock.close()
            elif wire is None:
                _abandon(smtp)
        return wire

    async def _client(self, sock: socket.socket, address: Address) -> aiosmtplib.SMTP:
        settings = self.settings
        plain = unwrapped(address)
        local = plain.is_loopback
        # "none" is for a relay next door; nobody means to show everybody on the way there a password.
        if settings.username and settings.encryption == "none" and is_public(plain):
            text = "the password would cross the Internet in clear text"
            raise CannotConnect(Trouble("configuration", text, suggestion="Use encryption starttls or tls."))
        # Loosened only where both the name and the connected address say that it is this machine.
        trusting = settings.accept_invalid_certs or (local and is_loopback_name(settings.host))
        return aiosmtplib.SMTP(
            hostname=settings.host,
            sock=sock,
            use_tls=settings.encryption == "tls",
            start_tls=False,
            local_hostname=settings.helo_name or await own_name() or address_literal(sock),
            tls_context=None if settings.encryption == "none" else await self._context(verify=not trusting),
            timeout=settings.timeouts.command,
        )

    async def _context(self, *, verify: bool) -> ssl.SSLContext:
        if verify not in self.contexts:
            if self.settings.accept_invalid_certs:
                log.warning("certificates of the relay %s are not verified (its setting)", self.settings.host)
            self.contexts[verify] = await asyncio.to_thread(tls_context, self.settings.ca_file, verify=verify)
        return self.contexts[verify]

    async def _session(self, smtp: aiosmtplib.SMTP, refused: frozenset[str]) -> Wire:
        """Banner, EHLO, STARTTLS, EHLO again, AUTH: whichever of them this relay needs."""
        settings = self.settings
        await self._step("connect", lambda: smtp.connect(timeout=settings.timeouts.banner))
        await self._step("ehlo", lambda: _hello(smtp))
        if settings.encryption == "starttls":
            if not smtp.supports_extension("starttls"):
                # Never on in plain text: whoever strips the offer wants exactly that (CVE-2016-0772).
                text = "starttls_not_offered: the relay does not offer encryption"
                raise CannotConnect(Trouble("configuration", text, suggestion=_OTHER_ENCRYPTION))
            await self._step("starttls", lambda: smtp.starttls(server_hostname=settings.host))
            await self._step("ehlo", lambda: _hello(smtp))
        if settings.username:
            await self._login(smtp, refused)
        transport, extensions = smtp.transport, dict(smtp.esmtp_extensions)
        if transport is None or transport.is_closing():
            raise CannotConnect(Trouble("connection", "the relay closed the connection (after EHLO or AUTH)"))
        return Wire(cast("asyncio.Transport", transport), extensions)

    async def _login(self, smtp: aiosmtplib.SMTP, refused: frozenset[str]) -> None:
        user = self.settings.username or ""
        password = self.settings.password.get_secret_value() if self.settings.password else ""
        mechanisms = offered(smtp, first=self.worked[0] if self.worked else None, without=refused)
        if not mechanisms:
            text = "auth_not_offered: the relay offers neither AUTH PLAIN nor LOGIN"
            raise CannotConnect(Trouble("configuration", text))

        async def act() -> None:
            self.worked[:] = [await log_in(smtp, user, password, mechanisms)]

        await self._step("auth", act)

    async def _step(self, stage: Stage, act: Callable[[], Awaitable[object]]) -> None:
        """Run one step of aiosmtplib's; every way in which it may fail, in our words."""
        try:
            await act()
        except aiosmtplib.SMTPResponseException as refusal:
            raise CannotConnect(self._refused(stage, refusal.code, refusal.message)) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise CannotConnect(self._broken(stage, error)) from None

    def _refused(self, stage: Stage, code: int, words: str) -> Trouble:
        text = redact(words.replace("\n", " "), self.settings.secrets())
        trouble = provider_trouble(stage, code, text)
        # What is not SMTP stays unquoted, or this would be a way to read other servers' greetings.
        return trouble or Trouble("connection", f"the relay's answer is not SMTP ({_STEPS[stage]})")

    def _broken(self, stage: Stage, error: BaseException) -> Trouble:
        cause = error if isinstance(error, ssl.SSLError) else error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            text = f"the relay's certificate is not accepted: {cause.verify_message}"
            return Trouble("configuration", text, suggestion=_CERTIFICATE)
        if isinstance(cause, ssl.SSLError):
            suggestion = _PLAIN_SPOKEN if self.settings.encryption == "tls" else None
            return Trouble("configuration", f"TLS failed: {cause.reason or 'handshake'}", suggestion=suggestion)
        if isinstance(error, TimeoutError):
            return Trouble("connection", f"the relay did not answer in time ({_STEPS[stage]})")
        return Trouble("connection", f"the relay closed the connection ({_STEPS[stage]})")


def tls_context(ca_file: str | None, *, verify: bool) -> ssl.SSLContext:
    """TLS 1.2 or newer, host name and chain verified unless told otherwise."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _abandon(smtp: aiosmtplib.SMTP) -> None:
    """Close at once. The socket is its transport's: closed behind its back, the next one would get its number.

    Closing alone is not enough under TLS, which would wait for the other side's goodbye.
    """
    if smtp.transport is not None:
        cast("asyncio.WriteTransport", smtp.transport).abort()  # uvloop's is one by conduct, not by class
    smtp.close()


async def _hello(smtp: aiosmtplib.SMTP) -> None:
    """EHLO, and HELO for those who do not know it (RFC 5321 section 3.2)."""
    try:
        await smtp.ehlo()
    except aiosmtplib.SMTPHeloError as refusal:
        if refusal.code not in {500, 502, 504} or not smtp.is_connected:
            raise
        await smtp.helo()
