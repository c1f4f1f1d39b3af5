"""`python -m deploy.local.inbox`: SMTP on one port, HTTP on another, both on loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from deploy.local.inbox.api import routes
from deploy.local.inbox.smtp import serve_smtp
from deploy.local.inbox.store import Mailbox
from libs.common.settings import Settings, load
from libs.common.web import ASGIApp, Service, create_app, run
from libs.common.web.principal import read_key


class InboxSettings(Settings):
    """Settings of the inbox."""

    inbox_smtp_port: int
    """SMTP port of the bundled inbox."""
    inbox_dir: Path
    """Folder that keeps the mail of the bundled inbox."""


@asynccontextmanager
async def open_inbox(settings: InboxSettings) -> AsyncIterator[ASGIApp]:
    """Opens the mailbox and the SMTP port; the value is the HTTP application."""
    mailbox = Mailbox(settings.inbox_dir)
    smtp = await serve_smtp(mailbox, settings.http_host, settings.inbox_smtp_port)
    try:
        yield create_app(
            Service(
                name="inbox",
                routers=[routes],
                principal_key=read_key(settings.principal_key_file),
                state={"mailbox": mailbox},
            )
        )
    finally:
        smtp.close()
        mailbox.close()


if __name__ == "__main__":
    run(load(InboxSettings), open_inbox)
