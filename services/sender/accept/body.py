"""The body of `POST /api/emails`: its members and their limits, and the way to the command."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationError

from libs.common.errors import InvalidError
from libs.common.facts.email import Party, Recipient, RecipientKind
from libs.common.facts.email import Tag as EmailTag
from libs.common.mime import check_body, check_field, check_header_name, check_header_value, parse_address
from libs.common.web import RequestModel, finding, parse_json
from services.sender.accept.accept_email import AcceptEmail

MAX_RECIPIENTS = 50
MAX_BODY_BYTES = 2 * 2**20
"""Of html and of text, in UTF-8."""
MAX_REPLY_TO = 10
MAX_TAGS = 50
MAX_METADATA = 100
MAX_HEADERS = 100
MAX_HEADER_CHARACTERS = 8_000

NOT_YET = frozenset(
    {
        "attachments",
        "expires_at",
        "priority",
        "scheduled_at",
        "suppression_bypass",
        "template",
        "unsubscribe",
    }
)
"""Members that the contract knows and this version does not: refused, so that nobody relies on them."""

# Legal between quotation marks (RFC 5322 section 3.4.1), and not between the angle brackets of a command.
_UNSENDABLE = re.compile(r"[\x00-\x20<>]")

_ONE, _MANY = "(one)", "(many)"
_BRANCHES = frozenset({_ONE, _MANY})


def _arity(value: object) -> str:
    return _MANY if isinstance(value, list) else _ONE


def _tag_form(value: object) -> str:
    return _MANY if isinstance(value, dict) else _ONE


_Address = Annotated[str, Field(min_length=1, max_length=1_000)]
_Label = Annotated[str, Field(min_length=1, max_length=256)]
_Value = Annotated[str, Field(max_length=2_000)]
_Recipients = Annotated[
    Annotated[_Address, Tag(_ONE)] | Annotated[list[_Address], Field(min_length=1, max_length=50), Tag(_MANY)],
    Discriminator(_arity),
]
_Others = Annotated[
    Annotated[_Address, Tag(_ONE)] | Annotated[list[_Address], Field(max_length=50), Tag(_MANY)],
    Discriminator(_arity),
]
_ReplyTo = Annotated[
    Annotated[_Address, Tag(_ONE)] | Annotated[list[_Address], Field(max_length=MAX_REPLY_TO), Tag(_MANY)],
    Discriminator(_arity),
]


class TagPair(RequestModel):
    """A tag with a value."""

    name: _Label
    value: _Label


_Tag = Annotated[Annotated[_Label, Tag(_ONE)] | Annotated[TagPair, Tag(_MANY)], Discriminator(_tag_form)]


class SendEmail(RequestModel):
    """An email to send. Addresses are `local@domain` or `Name <local@domain>`."""

    from_: _Address = Field(alias="from", examples=["Acme <hello@acme.example>"])
    from_name: str | None = Field(None, max_length=255, description="In place of a name in `from`")
    to: _Recipients = Field(examples=["ada@example.com"])
    cc: _Others | None = None
    bcc: _Others | None = None
    reply_to: _ReplyTo | None = None
    subject: str = Field(max_length=998)
    html: str | None = Field(None, description="At most 2 MB; html or text must be there")
    text: str | None = Field(None, description="At most 2 MB")
    headers: Annotated[dict[str, str], Field(max_length=MAX_HEADERS)] | None = Field(
        None, description="Further header fields by name"
    )
    tags: Annotated[list[_Tag], Field(max_length=MAX_TAGS)] | None = None
    metadata: Annotated[dict[_Label, _Value], Field(max_length=MAX_METADATA)] | None = Field(
        None, description="Echoed in the email's events"
    )
    track_opens: bool = False
    track_clicks: bool = False


def read_send_body(raw: bytes) -> AcceptEmail:
    """The command in a request's body. Raises InvalidError naming every field that is wrong."""
    # Not model_validate_json: its parser takes three times as long for a string with escapes, in one hold of the lock.
    members = parse_json(raw)
    try:
        body = SendEmail.model_validate(members)
    except ValidationError as error:
        raise InvalidError([_problem(item) for item in error.errors(include_input=False, include_url=False)]) from None
    return _command(body)


def _problem(item: Any) -> tuple[str, str]:
    path = [str(part) for part in item["loc"] if part not in _BRANCHES]
    field = ".".join(path) or "body"
    if item["type"] == "extra_forbidden" and field in NOT_YET:
        return field, "is not available yet"
    return field, finding(item)


def _command(body: SendEmail) -> AcceptEmail:
    problems: list[tuple[str, str]] = []
    sender = _party(body.from_, "from", problems)
    recipients = _recipients(body, problems)
    reply_to = [party for party, _ in _parties(body.reply_to, "reply_to", problems)]
    problems += _bad_headers(body.headers or {}, has_reply_to=bool(reply_to))
    tags = [EmailTag(name=tag) if isinstance(tag, str) else _tag(tag) for tag in body.tags or ()]
    problems += _bad_texts(body, tags)
    problems += _bad_bodies(body)
    if problems:
        raise InvalidError(problems)
    return AcceptEmail(
        sender=Party(address=sender.address, name=body.from_name or sender.name),
        sender_domain=sender.address.rpartition("@")[2],
        recipients=recipients,
        reply_to=reply_to,
        subject=body.subject,
        html=body.html or None,
        text=body.text or None,
        headers=body.headers or {},
        tags=tags,
        metadata=body.metadata or {},
        track_opens=body.track_opens,
        track_clicks=body.track_clicks,
    )


def _bad_headers(headers: dict[str, str], *, has_reply_to: bool) -> Iterator[tuple[str, str]]:
    seen: set[str] = set()
    for name, value in headers.items():
        lowered = name.lower()
        if not (fault := _fault(check_header_name, name)):
            if lowered in seen:
                fault = "is given twice: names are alike in upper and lower case"
            elif lowered == "reply-to" and has_reply_to:
                fault = "is also given as reply_to"
            elif len(value) > MAX_HEADER_CHARACTERS:
                fault = f"has more than {MAX_HEADER_CHARACTERS} characters"
            else:
                fault = _fault(check_header_value, value) or _fault(partial(check_field, name), value)
        if fault:
            yield f"headers.{name}" if name.isprintable() else "headers", fault
        seen.add(lowered)


def _bad_texts(body: SendEmail, tags: list[EmailTag]) -> Iterator[tuple[str, str]]:
    for name, text in (("subject", body.subject), ("from_name", body.from_name or "")):
        if fault := _fault(check_header_value, text):
            yield name, fault
    for index, tag in enumerate(tags):
        if fault := _fault(check_header_value, tag.name) or _fault(check_header_value, tag.value or ""):
            yield f"tags.{index}", fault
    for key, value in (body.metadata or {}).items():
        if fault := _fault(check_header_value, key) or _fault(check_body, value):
            yield f"metadata.{key}", fault


def _bad_bodies(body: SendEmail) -> Iterator[tuple[str, str]]:
    if not body.html and not body.text:
        yield "html", "html or text must have something in it"
    for name, text in (("html", body.html or ""), ("text", body.text or "")):
        if len(text) * 4 > MAX_BODY_BYTES and len(text.encode()) > MAX_BODY_BYTES:
            yield name, f"is over the limit of {MAX_BODY_BYTES} bytes"
        elif fault := _fault(check_body, text):
            yield name, fault


def _fault(check: Callable[[str], None], text: str) -> str | None:
    try:
        check(text)
    except ValueError as error:
        return str(error)
    return None


def _tag(pair: TagPair) -> EmailTag:
    return EmailTag(name=pair.name, value=pair.value)


def _recipients(body: SendEmail, problems: list[tuple[str, str]]) -> list[Recipient]:
    """Each address once, under its first kind."""
    found: dict[str, Recipient] = {}
    groups: tuple[tuple[RecipientKind, str | list[str] | None], ...] = (
        ("to", body.to),
        ("cc", body.cc),
        ("bcc", body.bcc),
    )
    for kind, given in groups:
        for party, field in _parties(given, kind, problems):
            if party.address in found:
                continue
            found[party.address] = Recipient(address=party.address, name=party.name, kind=kind)
            if len(found) == MAX_RECIPIENTS + 1:
                problems.append((field, f"there are more than {MAX_RECIPIENTS} recipients in all"))
    return list(found.values())


def _parties(given: str | list[str] | None, field: str, problems: list[tuple[str, str]]) -> list[tuple[Party, str]]:
    if isinstance(given, str):
        before = len(problems)
        party = _party(given, field, problems)
        return [(party, field)] if len(problems) == before else []
    found: list[tuple[Party, str]] = []
    for index, text in enumerate(given or ()):
        before, path = len(problems), f"{field}.{index}"
        party = _party(text, path, problems)
        if len(problems) == before:
            found.append((party, path))
    return found


def _party(text: str, field: str, problems: list[tuple[str, str]]) -> Party:
    try:
        mailbox = parse_address(text)
    except ValueError as error:
        problems.append((field, str(error)))
        return Party(address="")
    if _UNSENDABLE.search(mailbox.address):
        problems.append((field, "no relay takes a space or an angle bracket before the '@'"))
    return Party(address=mailbox.address, name=mailbox.name)
