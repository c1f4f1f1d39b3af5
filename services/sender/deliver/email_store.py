"""Reading an email back: its first fact from the log, its bodies from MAIL_CONTENT; never somebody else's."""

import logging
from dataclasses import dataclass

from libs.common.facts import Envelope, decode
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.content import Content, ContentError, content_of
from libs.common.jetstream.email_log import facts_of
from libs.common.jetstream.retrying import persistently
from libs.common.jetstream.streams import CONTENT, EVENTS
from services.sender.deliver.attempt_rules import Attempt

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JetStreamEmailStore:
    """`services.sender.ports.EmailStore` over the streams."""

    bus: Bus

    async def accepted(self, attempt: Attempt) -> Envelope | None:
        """By its sequence; by a search if the log was restored and has it elsewhere."""
        if attempt.accepted_sequence:
            message = await persistently(lambda: self.bus.direct_get(EVENTS, attempt.accepted_sequence))
            if message is not None and message.subject.startswith("mail.email."):
                fact = decode(message.data, log_subject=message.subject, stream=EVENTS, sequence=message.sequence)
                if fact.name == "email.accepted" and fact.data.get("email_id") == str(attempt.email_id):
                    return fact
        found = await persistently(lambda: facts_of(self.bus, attempt.email_id, events="accepted.>"))
        return found[0] if found else None

    async def content(self, accepted: Envelope) -> Content | None:
        """None when it is lost or not its own."""
        email_id, reference = accepted.data["email_id"], accepted.data["content"]
        message = await persistently(lambda: self.bus.direct_get(CONTENT, int(reference["sequence"])))
        if message is None:
            log.error("the content of email %s is lost", email_id)
            return None
        try:
            return content_of(email_id, reference, message.data, message.headers)
        except ContentError as error:
            log.error("the content of email %s is lost: %s", email_id, error)  # noqa: TRY400 - the text says it all
            return None
