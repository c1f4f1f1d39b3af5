"""The SMTP adapter of the relay port: any relay that speaks RFC 5321, over kept connections."""

import asyncio
from dataclasses import dataclass

from libs.common.relay.outbound import OutboundPolicy, Resolver, resolve
from libs.common.relay.port import BeforeDot, Identity, SendResult, Submission, Trouble, troubled
from libs.common.relay.smtp.connect import Dialer
from libs.common.relay.smtp.dial import CannotConnect
from libs.common.relay.smtp.pool import Pool
from libs.common.relay.smtp.settings import SmtpSettings, Timeouts
from libs.common.relay.smtp.transaction import Stale, Terms, transact
from libs.common.relay.smtp.wire import Wire

__all__ = ["SmtpRelay", "SmtpSettings", "Timeouts", "open_smtp_relay"]


def open_smtp_relay(
    settings: SmtpSettings, *, policy: OutboundPolicy | None = None, resolver: Resolver = resolve
) -> "SmtpRelay":
    """A relay for these settings; nothing is connected before the first message. Call it inside the loop."""
    dialer = Dialer(settings, policy or OutboundPolicy(), resolver)
    pool = Pool(settings, asyncio.Semaphore(settings.max_connections))
    return SmtpRelay(dialer, pool, Terms(settings.timeouts, settings.secrets()))


@dataclass(frozen=True, slots=True, repr=False)
class SmtpRelay:
    """`libs.common.relay.port.Relay` for SMTP; made by `open_smtp_relay`."""

    dialer: Dialer
    pool: Pool
    terms: Terms

    async def send(self, submission: Submission, *, before_dot: BeforeDot | None = None) -> SendResult:
        """One message, one transaction, waiting for a free connection first."""
        async with self.pool.slots:
            wire = self.pool.take()
            if wire is not None:
                try:
                    return await self._on(wire, submission, before_dot)
                except Stale:
                    pass  # nothing had been sent; a connection fresh from the relay tells how it really is
            try:
                wire = await self.dialer.open()
            except CannotConnect as failure:
                return troubled(failure.trouble)
            return await self._on(wire, submission, before_dot)

    async def check_credentials(self) -> Trouble | None:
        """A session of its own, said goodbye to at once."""
        timeouts = self.dialer.settings.timeouts
        try:
            async with asyncio.timeout(timeouts.check):
                wire = await self.dialer.open()
        except CannotConnect as failure:
            return failure.trouble
        except TimeoutError:
            return Trouble("connection", f"no session within {timeouts.check:g} seconds")
        wire.leave(timeouts.quit)
        await wire.closed
        return None

    async def create_identity(self, domain: str) -> Identity:
        """An SMTP relay knows no identities: nothing to publish, nothing to wait for."""
        del domain
        return Identity("verified")

    async def verify_identity(self, domain: str) -> Identity:
        """Verified at once."""
        del domain
        return Identity("verified")

    async def delete_identity(self, domain: str) -> None:
        """Nothing was made, nothing to delete."""
        del domain

    async def close(self) -> None:
        """Say goodbye on idle connections; those at work are closed when they are done."""
        await self.pool.close()

    async def _on(self, wire: Wire, submission: Submission, before_dot: BeforeDot | None) -> SendResult:
        try:
            return await transact(wire, submission, before_dot, self.terms)
        finally:
            self.pool.give_back(wire)
