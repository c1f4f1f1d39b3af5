"""The values of the delivery decision: what is known of an attempt, and what is to be done about it."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from libs.common.facts import Envelope
from libs.common.facts.email import EmailFact
from libs.common.facts.provider import ProviderState
from libs.common.jetstream.content import Content
from libs.common.relay.port import SendResult, Submission
from services.sender.deliver.alternative_rules import Target
from services.sender.deliver.attempt_rules import Attempt, home_id, recipients
from services.sender.routing_rules import Closed


class End(Enum):
    """How an attempt ended in this worker."""

    WRITTEN = "written"
    """A fact says what came of it; what it left pending has a schedule."""
    MOVED = "moved"
    """`email.rerouted`: nothing was sent, and the same attempt is due at another provider at once."""
    REPEAT = "repeat"
    """The log says that it ended before; only what follows from that fact was done again."""
    PARKED = "parked"
    """Its provider sends nothing and it has to stay there: it comes again later and makes room for others meanwhile."""
    HANDED_BACK = "handed_back"
    """Nothing was sent: the same attempt is due again, for a worker that has connections to its provider."""
    LEFT = "left"
    """Another worker has it, or may have: write nothing, acknowledge nothing."""


@dataclass(frozen=True, slots=True)
class NoMessage:
    """No message can be built from the stored content; `reason` goes into the fact."""

    reason: str
    text: str


@dataclass(slots=True)
class Case:
    """Everything known about an attempt so far. The handler fills it in step by step; `decide` only reads it.

    `earlier` is the fact that ended it before. `accepted` is None until it was read; `lost`: there is none. `provider`
    is its provider as it is, `gone` the last state of one that was deleted. `others_open`: another provider could send
    some of the mail that waits at this one. `target` is who could send this attempt now, or who is to inherit it.
    """

    attempt: Attempt
    now: datetime
    retry_at: datetime | None
    """When to try again; None gives the email up."""
    held: bool = True
    earlier: Envelope | None = None
    begun: bool = False
    accepted: Envelope | None = None
    lost: bool = False
    provider: ProviderState | None = None
    gone: ProviderState | None = None
    home_lives: bool = True
    """True if the home provider exists."""
    closed: Closed | None = None
    others_open: bool = False
    target: Target | None = None
    """Like `retry_at`, `home_lives` and `others_open`, it is up to date unless the attempt is `unhindered`."""
    unmade: NoMessage | None = None
    content: Content | None = field(default=None, repr=False)
    """None until it was read."""
    submission: Submission | None = field(default=None, repr=False)
    """The message as it is handed over; None until it was built."""
    has_slots: bool = True
    answer: SendResult | None = None
    """How the last hand-over ended; None when there was none, or it was for another provider's sake given up."""
    throttled: int = 0
    """How often the provider said "too fast", the last answer included."""
    began: datetime | None = None
    """When the last hand-over began."""

    @property
    def unhindered(self) -> bool:
        """True if nothing is in its way so far. Then no rule uses the retry time or another provider."""
        fine = not self.begun and not self.lost and self.unmade is None
        return fine and self.answer is None and self.closed is None and self.provider is not None

    @property
    def owed(self) -> tuple[str, ...]:
        """The addresses that are still owed a try; empty when the log has lost the email."""
        if self.attempt.pending is not None:
            return self.attempt.pending
        return recipients(self.attempt, self.accepted) if self.accepted is not None else ()

    @property
    def home_id(self) -> int | None:
        """The provider whose mail it is, None when that is gone or not known."""
        return home_id(self.accepted) if self.accepted is not None and self.home_lives else None


@dataclass(frozen=True, slots=True)
class Decision:
    """Instructions for the handler. It is counted under the fact's name, or under the end's where there is no fact."""

    end: End
    fact: EmailFact | None = None
    schedule: Attempt | None = None
    earlier: Envelope | None = None
    """The `email.rerouted` of a REPEAT: the attempt is put there once more."""
    target: int | None = None
    """The provider that it moves to; it is told first, so that one which has to be tried out gets one at a time."""
    because: str = ""
    """Why it moves, a slug for the metric."""
    only_with_lease: bool = False
    stop_provider: str | None = None
    """Why the provider itself is stopped, for all of its mail, whether the lease is still ours or not."""
