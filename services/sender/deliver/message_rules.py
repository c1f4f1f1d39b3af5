"""From an email's fact and its bodies to what goes over the wire; the same octets on every attempt."""

from collections.abc import Mapping, Sequence
from typing import Any

from libs.common.facts import Envelope
from libs.common.jetstream.content import Content
from libs.common.mime import Mailbox, build_message, mailboxes_in, needs_smtputf8
from libs.common.relay.port import Letter, Submission


def build_submission(accepted: Envelope, content: Content, recipients: Sequence[str]) -> Submission:
    """One transaction for those recipients. The header names everybody but Bcc, whoever is still owed a try.

    Raises ValueError for what cannot be a message; the edge has refused that already.
    """
    data = accepted.data
    sender = Mailbox(data["from_address"], data["from_name"])
    to, cc = _mailboxes(data, "to"), _mailboxes(data, "cc")
    reply_to = [Mailbox(each["address"], each["name"]) for each in data["reply_to"]]
    html = content.tracked_html if content.tracked_html is not None else content.html
    message = build_message(
        from_=sender,
        to=to,
        cc=cc,
        reply_to=reply_to,
        subject=data["subject"],
        message_id=data["message_id"],
        date=accepted.at,
        text=content.text,
        html=html,
        headers=content.headers,
        email_id=data["email_id"],
    )
    named = (sender, *to, *cc, *reply_to, *mailboxes_in(content.headers))
    return Submission(
        sender=sender.address,
        recipients=tuple(recipients),
        message=message,
        message_id=data["message_id"],
        smtputf8=needs_smtputf8(each.address for each in named),
        letter=Letter(
            sender=sender,
            to=tuple(to),
            cc=tuple(cc),
            bcc=tuple(_mailboxes(data, "bcc")),
            reply_to=tuple(reply_to),
            subject=data["subject"],
            text=content.text,
            html=html,
            headers=tuple(content.headers.items()),
            email_id=data["email_id"],
        ),
    )


def size_of(content: Content) -> int:
    """About how many characters a message of it is built from."""
    html = content.tracked_html if content.tracked_html is not None else content.html
    return len(html or "") + len(content.text or "") + sum(map(len, content.headers.values()))


def _mailboxes(data: Mapping[str, Any], kind: str) -> list[Mailbox]:
    return [Mailbox(each["address"], each["name"]) for each in data["recipients"] if each["kind"] == kind]
