"""The settings of the sender's two processes."""

from pydantic import Field

from libs.common.settings import RelaySettings, Settings


class SenderSettings(Settings):
    """The HTTP side."""

    content_retention_days: int = Field(45, ge=0)
    """Days that the bodies of emails are kept; 0 keeps them for good."""


class WorkerSettings(RelaySettings):
    """The delivering side."""

    internal_port: int
    """Port of health and metrics where they have one of their own (gateway, worker)."""
    worker_name: str = Field("", pattern=r"^[\x21-\x7e]{0,64}$")
    """Name of this worker, unlike any other running worker's. A worker that starts under the name of a dead one takes
    its mail over at once; one without a name waits about thirteen seconds until the dead one's lease has lapsed."""
    local_inbox_connections: int = Field(16, ge=1)
    """Connections to the bundled inbox, which has no limit of its own."""
    drain_seconds: float = Field(4.0, gt=0)
    """Seconds that a stopping worker waits for the emails that it is sending; `make up` kills it after five."""
