"""Divides a provider's connections and rate among the workers, so that together they stay within its limits."""

from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Share:
    """The share of the worker at `position` (from 0) among `workers`; none yet while it has not `joined`.

    A worker joins when all others have had the time to notice it, and to leave it its share.
    """

    workers: int = 1
    position: int = 0
    joined: bool = True

    def connections(self, limit: int) -> int:
        """Of `limit` connections: an even part, and the first workers one more, so that the sum is the limit."""
        if not self.joined:
            return 0
        each, left = divmod(limit, self.workers)
        return each + (self.position < left)

    def rate(self, per_second: float | None, limit: int) -> float | None:
        """Of a rate: an even part among those who have a connection at all; None is no limit."""
        return per_second / min(self.workers, max(1, limit)) if per_second else None

    def goes_without(self, limit: int) -> bool:
        """True if there are more workers than connections and this worker has none."""
        return self.joined and self.connections(limit) == 0


ALONE = Share()


def share_of(me: str, others: Collection[str], *, joined: bool = True) -> Share:
    """A worker's share beside the others, by the order of their ids."""
    everybody = sorted({me, *others})
    return Share(len(everybody), everybody.index(me), joined)
