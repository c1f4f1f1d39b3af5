"""The test email as a message on the wire."""

from datetime import datetime

from libs.common.facts import uuid7
from libs.common.mime import build_message, message_id_for, needs_smtputf8
from libs.common.mime.addresses import Mailbox
from libs.common.relay.port import Letter, Submission
from services.providers.accounts.test_message_rules import ProviderTestEmail


def compose(email: ProviderTestEmail, *, sender: Mailbox, recipient: str, at: datetime) -> Submission:
    """The port `Compose`."""
    message_id = message_id_for(uuid7(), sender.address.rpartition("@")[2])
    message = build_message(
        from_=sender,
        to=(Mailbox(recipient),),
        subject=email.subject,
        message_id=message_id,
        date=at,
        text=email.text,
        html=email.html,
    )
    utf8 = needs_smtputf8((sender.address, recipient))
    letter = Letter(sender=sender, to=(Mailbox(recipient),), subject=email.subject, text=email.text, html=email.html)
    return Submission(sender.address, (recipient,), message, message_id, utf8, letter)
