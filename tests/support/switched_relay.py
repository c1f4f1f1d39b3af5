"""A relay that can be switched off and on at the same port, and remembers what it took: for tests of whole systems."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from deploy.local.ports import free_port


class SwitchedRelay:
    """`taken` counts messages by the local part of their Message-ID, which is the email's id. Thread-safe."""

    def __init__(self) -> None:
        self.port = free_port()
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._controller: Controller | None = None

    @property
    def taken(self) -> Counter[str]:
        with self._lock:
            return self._taken.copy()

    def count(self) -> int:
        """Messages taken so far."""
        return self.taken.total()

    def on(self) -> None:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()

    def off(self) -> None:
        """Nothing listens any more, and connections that were kept are closed."""
        controller, self._controller = self._controller, None
        if controller is not None:
            controller.stop()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802 - a hook
        content: Any = envelope.content
        message_id = message_from_bytes(content)["Message-ID"]
        with self._lock:
            self._taken[message_id.strip("<>").partition("@")[0]] += 1
        return "250 2.0.0 taken"


@contextlib.contextmanager
def switched_relay() -> Iterator[SwitchedRelay]:
    """Switched on."""
    relay = SwitchedRelay()
    relay.on()
    try:
        yield relay
    finally:
        relay.off()
