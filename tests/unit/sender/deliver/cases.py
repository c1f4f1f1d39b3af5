"""One attempt in any situation, for the tests of what is decided about it."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from libs.common.facts import Envelope, timestamp
from libs.common.relay.port import RecipientReply, SendResult, Trouble, Verdict, answered
from services.sender.deliver.alternative_rules import Target
from services.sender.deliver.attempt_rules import Attempt
from services.sender.deliver.case import Case
from tests.support.sending import provider_state

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=2)
EMAIL = UUID("019b7600-0000-7000-8000-0000000000ab")
HOME, SECOND, THIRD = provider_state(1, 25, fallback_provider_ids=[2, 3]), provider_state(2, 25), provider_state(3, 25)
TO_SECOND = Target(SECOND)
ADA, BOB = "ada@example.com", "bob@example.com"


def accepted(*, home: int = 1, to: tuple[str, ...] = (ADA, BOB), subject: str = "Hello") -> Envelope:
    """The fact that began the email, as stored."""
    data = {
        "email_id": str(EMAIL),
        "provider_id": home,
        "lane": "normal",
        "route": {"reason": "domain", "domain_id": 7, "detail": None, "home_provider_id": None},
        "from_address": "shop@p1.example",
        "from_name": None,
        "recipients": [{"address": address, "name": None, "kind": "to"} for address in to],
        "reply_to": [],
        "subject": subject,
        "message_id": f"<{EMAIL}@p1.example>",
    }
    return Envelope("fact", "s", "email.accepted.v1", f"email/{EMAIL}", timestamp(NOW), data, sequence=17)


def attempt(**members: Any) -> Attempt:
    return replace(Attempt(EMAIL, 1, 1, "normal", NOW, NOW, 17), **members)


def case(*, of: Mapping[str, Any] | None = None, **members: Any) -> Case:
    """An attempt that is ours, read and sendable, unless `members` say otherwise; `of` are the attempt's own."""
    return replace(Case(attempt(**(of or {})), NOW, LATER, accepted=accepted(), provider=HOME), **members)


def ended(event: str, **data: Any) -> Envelope:
    """A fact that is in the log already."""
    data = {"email_id": str(EMAIL), "attempt": 1, **data}
    return Envelope("earlier", "s", f"email.{event}.v1", f"email/{EMAIL}", timestamp(NOW), data, sequence=18)


def said(**verdicts: Verdict) -> SendResult:
    """An answer for `ada` and `bob`."""
    replies = tuple(
        RecipientReply(f"{name}@example.com", verdict, 250 if verdict == "accepted" else 550, None, "words")
        for name, verdict in verdicts.items()
    )
    return answered(replies, "id-1")


def trouble(kind: Any, text: str = "words") -> SendResult:
    return SendResult(trouble=Trouble(kind, text, smtp_code=421))
