"""From a letter to the request that sends it: Scaleway writes the message itself.

Additional headers are passed on as they are, so they go in the form of the wire: encoded words where a field may have
them.
Message-ID is Scaleway's own (each answer names one), a second one would make the message invalid (RFC 5322 section
3.6); Auto-Submitted (RFC 3834) and our X-Temps-Email-Id, which its events bring back, are added as by SMTP.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from libs.common.mime.addresses import Mailbox
from libs.common.mime.fold import address_field
from libs.common.mime.structured import field
from libs.common.relay.port import Letter, RecipientReply, Submission


def request_body(submission: Submission, project_id: str) -> dict[str, Any]:
    """The body of `POST /emails`, for this submission's recipients alone.

    Raises `ValueError` for a submission without a letter, or for a recipient that its letter does not name.
    """
    letter = submission.letter
    if letter is None:
        raise ValueError("a submission to Scaleway needs its letter")
    wanted = set(submission.recipients)
    kinds = {"to": letter.to, "cc": letter.cc, "bcc": letter.bcc}
    chosen = {kind: [box for box in boxes if box.address in wanted] for kind, boxes in kinds.items()}
    named = {box.address for boxes in chosen.values() for box in boxes}
    if named != wanted:
        raise ValueError("a recipient is not named in the letter")
    return {
        "from": _party(letter.sender),
        **{kind: [_party(box) for box in boxes] for kind, boxes in chosen.items()},
        "subject": letter.subject,
        "text": letter.text or "",
        "html": letter.html or "",
        "project_id": project_id,
        "additional_headers": [{"key": name, "value": value} for name, value in _headers(letter)],
    }


def undeliverable(submission: Submission) -> dict[str, RecipientReply]:
    """Recipients whose mail Scaleway accepts and loses: the local part is not ASCII (it offers no SMTPUTF8).

    Everybody, where it is the sender's. Source: django-anymail, docs/esps/scaleway.rst.
    """
    sender = submission.letter.sender.address if submission.letter else submission.sender
    strange = [sender] if not sender.isascii() else []
    return {
        address: RecipientReply(address, "failed", None, None, f"Scaleway loses mail of {found[0]}, which is not ASCII")
        for address in submission.recipients
        if (found := strange or ([address] if not address.isascii() else []))
    }


def _party(box: Mailbox) -> Mapping[str, str]:
    return {"email": box.address, "name": box.name} if box.name else {"email": box.address}


def _headers(letter: Letter) -> Iterable[tuple[str, str]]:
    given = {name.lower() for name, _ in letter.headers}
    if letter.reply_to:
        yield "Reply-To", _reply_to(letter.reply_to)
    if "auto-submitted" not in given:
        yield "Auto-Submitted", "auto-generated"
    if letter.email_id is not None:
        yield "X-Temps-Email-Id", letter.email_id
    for name, value in letter.headers:
        if not (letter.reply_to and name.lower() == "reply-to"):
            yield name, _value(field(name, value))


def _reply_to(boxes: Sequence[Mailbox]) -> str:
    return _value(address_field("Reply-To", boxes))


def _value(line: str) -> str:
    """The text after the colon, unfolded (RFC 5322 section 2.2.3)."""
    return line.partition(":")[2].replace("\r\n", "").strip()
