"""Settings of the tracking service."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from libs.common.settings import Settings


class TrackingSettings(Settings):
    """Where opens and clicks wait while NATS is unavailable, and what is kept of a reader's address."""

    spool_dir: Path
    """Folder that keeps opens and clicks while NATS is unavailable; it belongs to one process alone."""
    spool_max_bytes: int = Field(256 * 2**20, ge=2**20)
    """Bytes in `TEMPS_SPOOL_DIR` from which further opens and clicks are dropped and counted."""
    ip_mode: Literal["full", "truncated", "hashed", "none"] = "full"
    """What is kept of a reader's IP address: all, its network (/24 or /48), a keyed hash, or nothing."""
