"""A relay in memory that keeps the port's promises: for tests that care about what was sent, not how."""

import asyncio
import email
import email.policy
from collections.abc import Callable
from dataclasses import dataclass, field

from libs.common.facts.domain import DnsRecord
from libs.common.relay.port import (
    BeforeDot,
    Identity,
    IdentityRefused,
    RecipientReply,
    RelayTroubled,
    SendResult,
    Submission,
    Trouble,
    answered,
    troubled,
    unknown,
)

Playing = Callable[[Submission], SendResult]


def accept(submission: Submission) -> SendResult:
    """Everybody gets it."""
    replies = tuple(RecipientReply(address, "accepted", 250, "2.0.0", "2.0.0 ok") for address in submission.recipients)
    return answered(replies, submission.message_id)


def refuse(submission: Submission) -> SendResult:
    """Nobody gets it, and it is the message's fault."""
    text = "5.7.1 looks like spam"
    return answered(tuple(RecipientReply(each, "failed", 554, "5.7.1", text) for each in submission.recipients), None)


@dataclass(slots=True)
class RecordingRelay:
    """`trouble` stands in the way of everything; `play` says how a hand-over ends; `silence` takes it and says nothing.

    What was accepted, or taken in silence, is in `taken`. At most `max_connections` are at work at once.
    """

    max_connections: int = 10
    trouble: Trouble | None = None
    play: Playing = accept
    silence: float | None = None
    """Seconds after which a silent hand-over is given up as unknown; None when it is answered."""
    pause: float = 0
    """Seconds that every hand-over takes."""
    taken: list[Submission] = field(default_factory=list)
    identities: dict[str, Identity] = field(default_factory=dict)
    published: set[str] = field(default_factory=set)
    at_work: int = 0
    most_at_work: int = 0
    arrival: asyncio.Event = field(default_factory=asyncio.Event)
    _slots: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(self.max_connections)

    async def send(self, submission: Submission, *, before_dot: BeforeDot | None = None) -> SendResult:
        async with self._slots:
            self.at_work += 1
            self.most_at_work = max(self.most_at_work, self.at_work)
            try:
                return await self._sent(submission, before_dot)
            finally:
                self.at_work -= 1

    async def check_credentials(self) -> Trouble | None:
        return self.trouble if self.trouble and self.trouble.kind in {"connection", "configuration"} else None

    async def create_identity(self, domain: str) -> Identity:
        self._reachable()
        if domain not in self.identities:
            record = DnsRecord(
                record_type="TXT",
                name=f"key._domainkey.{domain}",
                value="v=DKIM1; p=MIIB",
                priority=None,
                status="pending",
                required=True,
            )
            self.identities[domain] = Identity("pending", (record,))
        return self.identities[domain]

    async def verify_identity(self, domain: str) -> Identity:
        self._reachable()
        if domain not in self.identities:
            raise IdentityRefused("there is no such domain")
        if domain in self.published:
            records = self.identities[domain].records
            verified = tuple(record.model_copy(update={"status": "verified"}) for record in records)
            self.identities[domain] = Identity("verified", verified)
        return self.identities[domain]

    async def delete_identity(self, domain: str) -> None:
        self._reachable()
        self.identities.pop(domain, None)

    async def close(self) -> None:
        """Nothing is kept."""

    def _reachable(self) -> None:
        if self.trouble is not None:
            raise RelayTroubled(self.trouble)

    async def _sent(self, submission: Submission, before_dot: BeforeDot | None) -> SendResult:
        if self.trouble is not None:
            return troubled(self.trouble)
        if before_dot is not None and not await before_dot():
            return SendResult(abandoned=True)
        if self.pause:
            await asyncio.sleep(self.pause)  # slowness is what is played here
        if self.silence is not None:
            self._take(submission)
            await asyncio.sleep(self.silence)
            return unknown("no answer came")
        result = self.play(submission)
        if any(reply.outcome == "accepted" for reply in result.recipients):
            self._take(submission)
        return result

    def _take(self, submission: Submission) -> None:
        self.taken.append(submission)
        self.arrival.set()


def subject_of(message: bytes) -> str:
    """The decoded subject of a finished message."""
    return str(email.message_from_bytes(message, policy=email.policy.default)["Subject"] or "")
