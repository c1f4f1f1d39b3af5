"""The projector as handlers see it: the positions of the read models."""

from typing import Protocol


class Checkpoints(Protocol):
    """The positions of the read models, as `services.analytics.projector.Projector` keeps them."""

    def position(self, stream: str, model: str | None = None) -> int:
        """The last sequence of `stream` that is applied."""
        ...

    async def wait_for(self, stream: str, sequence: int, timeout: float, *, model: str | None = None) -> bool:
        """True if `sequence` was reached within `timeout` seconds."""
        ...
