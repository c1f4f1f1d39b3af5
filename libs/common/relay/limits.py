"""Limits of each kind of provider: an email that it would refuse is refused at POST, not hours later.

Pure and light: the sender's domain asks it for every email. The limits of each kind are in `kinds.py`.
"""

from dataclasses import dataclass

Complaint = tuple[str, str]
"""The request's field and what is wrong with it, for the person who wrote the email."""


@dataclass(frozen=True, slots=True)
class Mail:
    """An email as it would be sent: every recipient's address, the sender's, and `html` with its links rewritten."""

    recipients: tuple[str, ...]
    sender: str
    subject: str
    text: str | None
    html: str | None


@dataclass(frozen=True, slots=True)
class Limits:
    """None and 0 are no limit. `shortest` is in characters, `largest` in bytes as the provider counts them."""

    label: str
    recipients: int | None = None
    shortest: int = 0
    """Of the subject and of each body that is there."""
    largest: int | None = None
    """Of subject and bodies together."""
    base64: bool = False
    """`largest` counts the message encoded, a third more than the bodies."""
    ascii_addresses: bool = False
    """Local parts have to be ASCII; domains always are, by then."""

    @property
    def any(self) -> bool:
        """True if the kind has any limit."""
        return bool(self.recipients or self.shortest or self.largest or self.ascii_addresses)


def complaints(limits: Limits, mail: Mail) -> list[Complaint]:
    """Everything a provider with these limits would refuse in it, empty when it may be sent there."""
    return [
        *_about_recipients(limits, mail),
        *_about_sender(limits, mail),
        *_about_lengths(limits, mail),
        *_about_size(limits, mail),
    ]


def _about_recipients(limits: Limits, mail: Mail) -> list[Complaint]:
    found: list[Complaint] = []
    count = len(mail.recipients)
    if limits.recipients is not None and count > limits.recipients:
        found.append(
            ("to", f"{limits.label} takes at most {limits.recipients} recipients (to, cc and bcc), not {count}")
        )
    strange = [address for address in mail.recipients if not address.isascii()] if limits.ascii_addresses else []
    if strange:
        found.append(
            ("to", f"{limits.label} does not deliver to {strange[0]}: letters before the '@' have to be ASCII")
        )
    return found


def _about_sender(limits: Limits, mail: Mail) -> list[Complaint]:
    if not limits.ascii_addresses or mail.sender.isascii():
        return []
    return [("from", f"{limits.label} does not send for {mail.sender}: letters before the '@' have to be ASCII")]


def _about_lengths(limits: Limits, mail: Mail) -> list[Complaint]:
    given = [("subject", mail.subject), *((name, body) for name, body in _bodies(mail) if body)]
    short = [name for name, value in given if len(value) < limits.shortest]
    return [(name, f"{limits.label} takes nothing shorter than {limits.shortest} characters") for name in short]


def _about_size(limits: Limits, mail: Mail) -> list[Complaint]:
    if limits.largest is None:
        return []
    sizes = {name: len(body.encode("utf-8", "replace")) for name, body in _bodies(mail)}
    size = sum(sizes.values()) + len(mail.subject.encode("utf-8", "replace"))
    size = -(-size * 4 // 3) if limits.base64 else size
    if size <= limits.largest:
        return []
    words = f"{limits.label} takes at most {limits.largest // 1_000_000} MB, this email has {size / 1_000_000:.1f} MB"
    return [(max(sizes, key=lambda name: sizes[name]), words)]


def _bodies(mail: Mail) -> tuple[tuple[str, str], ...]:
    return ("html", mail.html or ""), ("text", mail.text or "")
