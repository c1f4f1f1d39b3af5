"""From a host name to an established SMTP session, or to the trouble that says in plain words why there is none."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal, cast

import aiosmtplib

from libs.common.relay.classify import Stage, clean, provider_trouble
from libs.common.relay.outbound import (
    Address,
    OutboundPolicy,
    OutboundRefused,
    Resolver,
    literal,
    permitted_addresses,
    resolve,
    unwrapped,
)
from libs.common.relay.port import Trouble
from libs.common.relay.smtp_settings import SmtpSettings
from libs.common.relay.smtp_wire import Wire

log = logging.getLogger(__name__)

_IN_A_CONTAINER = (
    "Nothing listens there. If Temps runs in a container, localhost is that container: use the relay's service "
    "name, or host.docker.internal for a relay on the machine itself."
)
_PLAIN_SPOKEN = (
    "The relay may speak plain SMTP on this port: encryption 'tls' is for port 465, 'starttls' for 587."
)


class CannotConnect(Exception):
    """There is no session; `trouble` says why."""

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(trouble.kind)
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Dialer:
    """Opens sessions with one relay."""

    settings: SmtpSettings
    policy: OutboundPolicy = field(default_factory=OutboundPolicy)
    resolver: Resolver = resolve
    contexts: dict[bool, ssl.SSLContext] = field(default_factory=dict)
    """By whether certificates are verified; loading the trusted ones takes milliseconds, so it is done once."""

    async def open(self) -> Wire:
        """Connect, encrypt, log in. Raises `CannotConnect`."""
        settings = self.settings
        sock, address = await self._connected()
        local = unwrapped(address).is_loopback
        # Loosened only where both the name and the connected address say that it is this machine.
        trusting = settings.accept_invalid_certs or (local and is_loopback_name(settings.host))
        if settings.username and settings.encryption == "none" and not local:
            sock.close()
            text = "the password would cross the network in clear text"
            raise CannotConnect(
                Trouble("configuration", text, suggestion="Set encryption to starttls or tls.")
            )
        smtp = aiosmtplib.SMTP(
            hostname=settings.host,
            sock=sock,
            use_tls=settings.encryption == "tls",
            start_tls=False,
            local_hostname=settings.helo_name or address_literal(sock),
            tls_context=None if settings.encryption == "none" else await self._context(verify=not trusting),
            timeout=settings.timeouts.command,
        )
        done = False
        try:
            wire = await self._session(smtp)
            done = True
        finally:
            if not done:
                smtp.close()
                sock.close()
        return wire

    async def _connected(self) -> tuple[socket.socket, Address]:
        """A socket to the first permitted address that answers."""
        host, port = self.settings.host, self.settings.port
        try:
            addresses = await permitted_addresses(host, port, policy=self.policy, resolver=self.resolver)
        except OutboundRefused:
            raise CannotConnect(
                Trouble("configuration", "address_not_allowed: mail is never sent to this host's address")
            ) from None
        except OSError:
            raise CannotConnect(Trouble("connection", f"the host name {host} cannot be resolved")) from None
        failure: OSError = TimeoutError()
        try:
            async with asyncio.timeout(self.settings.timeouts.connect):
                for address in addresses:
                    try:
                        return await _dial(address, port), address
                    except OSError as error:
                        failure = error
        except TimeoutError as error:
            failure = error
        raise CannotConnect(self._unreachable(failure, addresses)) from None

    def _unreachable(self, failure: OSError, addresses: tuple[Address, ...]) -> Trouble:
        where = f"{self.settings.host}:{self.settings.port}"
        if isinstance(failure, TimeoutError):
            return Trouble("connection", f"{where} did not answer in time")
        if isinstance(failure, ConnectionRefusedError):
            local = all(unwrapped(address).is_loopback for address in addresses)
            suggestion = _IN_A_CONTAINER if local else None
            return Trouble("connection", f"{where} refused the connection", suggestion=suggestion)
        return Trouble(
            "connection", f"{where} cannot be reached: {failure.strerror or type(failure).__name__}"
        )

    async def _context(self, *, verify: bool) -> ssl.SSLContext:
        if verify not in self.contexts:
            self.contexts[verify] = await asyncio.to_thread(tls_context, self.settings.ca_file, verify=verify)
            if self.settings.accept_invalid_certs:
                log.warning("certificates of the relay %s are not verified (its setting)", self.settings.host)
        return self.contexts[verify]

    async def _session(self, smtp: aiosmtplib.SMTP) -> Wire:
        """Banner, EHLO, STARTTLS, EHLO again, AUTH: whichever of them this relay needs."""
        settings = self.settings
        await self._step("connect", lambda: smtp.connect(timeout=settings.timeouts.banner))
        await self._step("ehlo", lambda: _hello(smtp))
        if settings.encryption == "starttls":
            if not smtp.supports_extension("starttls"):
                # Never on in plain text: whoever strips the offer from EHLO wants exactly that (CVE-2016-0772).
                text = "starttls_not_offered: the relay does not offer encryption"
                raise CannotConnect(Trouble("configuration", text, suggestion=_OTHER_ENCRYPTION))
            await self._step("starttls", lambda: smtp.starttls(server_hostname=settings.host))
            await self._step("ehlo", lambda: _hello(smtp))
        if settings.username:
            await self._login(smtp)
        transport, extensions = smtp.transport, dict(smtp.esmtp_extensions)
        if transport is None or transport.is_closing():
            raise CannotConnect(Trouble("connection", "the relay closed the connection (login)"))
        return Wire(cast(asyncio.Transport, transport), extensions)

    async def _login(self, smtp: aiosmtplib.SMTP) -> None:
        """AUTH PLAIN (RFC 4616), else LOGIN; one mechanism only, or a wrong password would count twice."""
        user = self.settings.username or ""
        password = self.settings.password.get_secret_value() if self.settings.password else ""
        if "plain" in smtp.server_auth_methods:
            await self._step("auth", lambda: smtp.auth_plain(user, password))
        elif "login" in smtp.server_auth_methods:
            await self._step("auth", lambda: smtp.auth_login(user, password))
        else:
            text = "auth_not_offered: the relay offers neither AUTH PLAIN nor LOGIN"
            raise CannotConnect(Trouble("configuration", text))

    async def _step(self, stage: Stage, act: Callable[[], Awaitable[object]]) -> None:
        """Run one step of aiosmtplib's; every way in which it may fail, in our words."""
        try:
            await act()
        except aiosmtplib.SMTPResponseException as refusal:
            raise CannotConnect(self._refused(stage, refusal.code, refusal.message)) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise CannotConnect(self._broken(stage, error)) from None

    def _refused(self, stage: Stage, code: int, words: str) -> Trouble:
        # Not SMTP: what it said stays unsaid, or this would be a way to read other servers' banners.
        text = clean(words.replace("\n", " "), self.settings.secrets())
        return provider_trouble(stage, code, text) or Trouble(
            "connection", f"the relay's answer is not SMTP ({_STEPS[stage]})"
        )

    def _broken(self, stage: Stage, error: BaseException) -> Trouble:
        cause = error if isinstance(error, ssl.SSLError) else error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            text = f"the relay's certificate is not valid for {self.settings.host}: {cause.verify_message}"
            return Trouble("configuration", text, suggestion=_CERTIFICATE)
        if isinstance(cause, ssl.SSLError):
            suggestion = _PLAIN_SPOKEN if self.settings.encryption == "tls" else None
            return Trouble(
                "configuration", f"TLS failed: {cause.reason or 'handshake'}", suggestion=suggestion
            )
        if isinstance(error, TimeoutError):
            return Trouble("connection", f"the relay did not answer in time ({_STEPS[stage]})")
        return Trouble("connection", f"the relay closed the connection ({_STEPS[stage]})")


_STEPS: dict[Stage, str] = {"connect": "greeting", "ehlo": "EHLO", "starttls": "STARTTLS", "auth": "AUTH"}
_OTHER_ENCRYPTION = "Port 465 usually wants encryption 'tls'; a relay without any needs 'none'."
_CERTIFICATE = (
    "Use the name that the certificate was issued for, or set accept_invalid_certs if you trust this relay."
)


def is_loopback_name(host: str) -> bool:
    """`localhost`, or an address that is loopback as written."""
    spelled = literal(host)
    return unwrapped(spelled).is_loopback if spelled else host.lower().rstrip(".") == "localhost"


def address_literal(sock: socket.socket) -> str:
    """Our end of the connection as EHLO wants it from hosts without a name (RFC 5321 section 4.1.3)."""
    address = sock.getsockname()[0].partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


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


async def _dial(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    done = False
    try:
        sock.setblocking(False)
        # Content and final dot are two writes: without this the dot would wait for the content's ack.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
        done = True
    finally:
        if not done:
            sock.close()
    return sock


async def _hello(smtp: aiosmtplib.SMTP) -> None:
    """EHLO, and HELO for those who do not know it (RFC 5321 section 3.2)."""
    try:
        await smtp.ehlo()
    except aiosmtplib.SMTPHeloError as refusal:
        if refusal.code not in {500, 502, 504} or not smtp.is_connected:
            raise
        await smtp.helo()
