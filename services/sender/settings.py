"""What both processes of the sender are told by their environment."""

from pydantic import Field

from libs.common.settings import RelaySettings, Settings


class SenderSettings(Settings):
    """The HTTP side."""

    content_retention_days: int = Field(45, ge=0)
    """0 keeps the bodies."""


class WorkerSettings(RelaySettings):
    """The delivering side."""

    internal_port: int
    worker_name: str = Field("", pattern=r"^[\x21-\x7e]{0,64}$")
    """Unlike any other running worker's. Whoever starts under it takes the place of one that died at once, where a
    nameless one waits until the dead one's word has lapsed."""
    local_inbox_connections: int = Field(16, ge=1)
    """Connections to the bundled inbox, which is on this machine and has no limit of its own."""
    drain_seconds: float = Field(4.0, gt=0)
    """How long a stop waits for what is on the wire; the supervisor is patient for five seconds."""
