"""Settings of an SMTP relay: address, login, encryption and timeouts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import SecretStr

from libs.common.relay.redact import spellings


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. RFC 5321 section 4.5.3.2, but for `connect`, `quit` and `check` (a person is waiting)."""

    connect: float = 30
    banner: float = 300
    command: float = 300
    """EHLO, STARTTLS with its handshake, AUTH, MAIL, RCPT, RSET."""
    data: float = 120
    block: float = 180
    final_dot: float = 600
    quit: float = 5
    check: float = 10
    """The whole of `check_credentials`."""


Encryption = Literal["starttls", "tls", "none"]
ENCRYPTIONS: Mapping[str, Encryption] = {"starttls": "starttls", "tls": "tls", "none": "none"}
"""The encryption modes this version supports, by their word in facts."""


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """Where the relay is and how to speak with it. Neither `repr` nor `str` shows the credentials."""

    host: str
    port: int
    username: str | None = field(default=None, repr=False)
    password: SecretStr | None = field(default=None, repr=False)
    encryption: Encryption = "starttls"
    accept_invalid_certs: bool = False
    max_connections: int = 10
    timeouts: Timeouts = field(default_factory=Timeouts)
    helo_name: str | None = None
    """Our name in EHLO; None is this machine's full name if it has one, else the address literal of our end of the
    connection (RFC 5321 section 4.1.4)."""
    ca_file: str | None = None
    """A PEM bundle trusted beside the system's, for relays with a certificate of a private authority."""
    messages_per_connection: int = 100
    idle_seconds: float = 45

    def secrets(self) -> tuple[str, ...]:
        """Every way in which the credentials travel, so that a relay's echo of them can be struck out."""
        if not self.username:
            return ()
        user, password = self.username, self.password.get_secret_value() if self.password else ""
        return spellings(f"\0{user}\0{password}", password, user)
