"""One line per event on stderr, with the request id where there is one; never a secret, never a body."""

import logging
import sys
import time
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class _Line(logging.Formatter):
    """`2026-01-31T12:00:00.000Z level logger [request] message`."""

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        del datefmt
        return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"

    def format(self, record: logging.LogRecord) -> str:
        record.request = request_id.get()
        return super().format(record)


def configure(level: int = logging.INFO) -> None:
    """Send everything to stderr. Libraries that print wire traffic at DEBUG stay at WARNING (credentials)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line("%(asctime)s %(levelname)s %(name)s [%(request)s] %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in ("nats", "aiosmtplib", "botocore", "aiobotocore", "asyncio", "mail.log"):
        logging.getLogger(name).setLevel(logging.WARNING)
