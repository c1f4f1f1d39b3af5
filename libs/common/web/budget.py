"""How many bytes of request bodies a service holds at once: many large ones together must not end it."""

from dataclasses import dataclass

from libs.common.errors import UnavailableError

BODY_BUDGET = 192 * 2**20
"""Bytes, over all requests; about three times as much memory while they are read."""


@dataclass(slots=True)
class Budget:
    """`held` bytes of `limit`. A class because it counts for all requests of one process."""

    limit: int = BODY_BUDGET
    held: int = 0

    def take(self, count: int) -> None:
        """Hold so many bytes more. Raises UnavailableError, and holds nothing, when they are too many."""
        if self.held + count > self.limit:
            raise UnavailableError("Too many large requests are being read at this moment.")
        self.held += count

    def give_back(self, count: int) -> None:
        """They are held no longer."""
        self.held -= count


@dataclass(slots=True)
class Held:
    """The part of a budget that one request holds: `count` bytes."""

    budget: Budget
    count: int = 0

    def take(self, count: int) -> None:
        """Hold so many bytes more. Raises UnavailableError."""
        self.budget.take(count)
        self.count += count

    def give_back(self) -> None:
        """The request is over."""
        self.budget.give_back(self.count)
        self.count = 0
