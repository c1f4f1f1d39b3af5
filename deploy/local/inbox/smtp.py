"""The SMTP side: takes mail for any domain, and misbehaves for three names so that it can be seen what happens.

`bounced@` is refused at RCPT; `deferred@` gets 451 and `unknown@` a dropped line, both after the final dot and only
the first time that a Message-ID is seen there, so that the next attempt goes through.
"""

import asyncio
from collections import OrderedDict
from hashlib import sha256

from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local.inbox.message import message_id_and_subject
from deploy.local.inbox.store import Mailbox

BOUNCED, DEFERRED, UNKNOWN = "bounced", "deferred", "unknown"
REMEMBERED = 20_000  # Message-IDs
LARGEST = 64 << 20  # bytes
IDLE_SECONDS = 300.0


class Handler:
    """The hooks of one server; holds which Message-IDs have misbehaved."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if _local_part(address) == BOUNCED:
            return "550 5.1.1 There is no such mailbox here"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Fine"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - as above
        raw = envelope.original_content or b""
        locals_ = {_local_part(address) for address in envelope.rcpt_tos}
        if DEFERRED in locals_ and self._first_time(DEFERRED, raw):
            return "451 4.7.1 Come again later"
        drop = UNKNOWN in locals_ and self._first_time(UNKNOWN, raw)
        summary = self._mailbox.add(envelope.mail_from or "", list(envelope.rcpt_tos), raw)
        if drop and server.transport is not None:
            server.transport.abort()  # type: ignore[attr-defined]  # a stream's transport, uvloop's or asyncio's
        return f"250 2.0.0 Kept as {summary.id}"

    def _first_time(self, name: str, raw: bytes) -> bool:
        message_id, _ = message_id_and_subject(raw)
        key = (name, message_id or sha256(raw).hexdigest())
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


async def serve_smtp(mailbox: Mailbox, host: str, port: int) -> asyncio.Server:
    """A listening server. Raises OSError when the port is taken."""
    loop = asyncio.get_running_loop()
    handler = Handler(mailbox)

    def connection() -> SMTP:
        return SMTP(
            handler,
            data_size_limit=LARGEST,
            enable_SMTPUTF8=True,
            hostname="inbox.localhost",
            ident="temps local inbox",
            timeout=IDLE_SECONDS,
            loop=loop,
        )

    return await loop.create_server(connection, host, port)


def _local_part(address: str) -> str:
    return address.rpartition("@")[0].casefold()
