"""What the tracking service reads from its environment."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from libs.common.settings import Settings


class TrackingSettings(Settings):
    """`spool_dir` belongs to one process alone; it keeps hits while NATS is away."""

    spool_dir: Path
    spool_max_bytes: int = Field(256 * 2**20, ge=2**20)
    ip_mode: Literal["full", "truncated", "hashed", "none"] = "full"
