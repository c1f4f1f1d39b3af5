"""Accept an email: route it, rewrite it, store its bodies, and append the fact whose ack is the commit point."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from libs.common.errors import (
    ConflictError,
    InvalidError,
    LogFullError,
    OutcomeUnknownError,
    UnavailableError,
)
from libs.common.facts import Actor, Envelope, new_envelope, uuid7
from libs.common.facts.email import ContentRef, EmailAccepted, EmailCaptured, Party, Recipient, Tag, shard_of
from libs.common.facts.provider import ProviderState
from libs.common.jetstream.append import append, publish_durably
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.content import EMAIL_ID_HEADER, Content, encode_content, sha256_of
from libs.common.jetstream.streams import content_subject
from libs.common.relay.kinds import limits_of
from libs.common.relay.limits import Complaint, Mail, complaints
from services.sender.links.rewrite_rules import VERSION, Rewritten, TooManyLinks, rewrite
from services.sender.ports import Directory
from services.sender.routing_rules import Captured, Decision, Refused, Routed, Unsuitable, decide_route

OFF_LOOP_CHARACTERS = 64 * 1024
"""Longer html is rewritten and deflated in a thread, so that others' requests go on meanwhile."""
CONTENT_PATIENCE = 3.0
"""Seconds; with the fact's own five the answer comes before the gateway gives up."""


@dataclass(frozen=True, slots=True)
class AcceptEmail:
    """The command, checked: addresses normalised, each recipient once, `html` or `text` not empty."""

    sender: Party
    sender_domain: str
    recipients: list[Recipient]
    reply_to: list[Party]
    subject: str
    html: str | None
    text: str | None
    headers: Mapping[str, str]
    tags: list[Tag]
    metadata: dict[str, str]
    track_opens: bool
    track_clicks: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """It is in the log at `sequence`. `suggestion` says how to have an email delivered that no provider takes."""

    email_id: UUID
    status: str
    provider_id: int | None
    sequence: int
    suggestion: str | None = None


@dataclass(frozen=True, slots=True)
class AcceptDeps:
    """The dependencies of `accept_email`. `log_is_full` says whether the log has reached its reserve."""

    bus: Bus
    directory: Directory
    log_is_full: Callable[[], bool]
    public_url: str
    retention: timedelta | None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


async def accept_email(deps: AcceptDeps, command: AcceptEmail, *, actor: Actor, request_id: str) -> Accepted:
    """Steps 1 to 4 of docs/architecture.md, *One email, step by step*.

    Raises InvalidError, ConflictError, LogFullError, UnavailableError (nothing was accepted), and
    OutcomeUnknownError naming the `email_id` that may have been.
    """
    if deps.log_is_full():
        raise LogFullError(
            "The log has reached 90 % of its size.", suggestion="The operator has to make room for more mail."
        )
    decision = await _route(deps.directory, command)
    email_id, now = uuid7(), deps.now()
    if len(command.html or "") > OFF_LOOP_CHARACTERS:
        rewritten, stored = await asyncio.to_thread(_prepare, command, email_id, deps.public_url)
    else:
        rewritten, stored = _prepare(command, email_id, deps.public_url)
    if rewritten is not None and isinstance(decision, Routed):
        _refuse_unsuitable(complaints(limits_of(decision.provider.provider_type), _mail(command, rewritten.html)))
    content_sequence = await _store(deps.bus, email_id, stored)
    content = ContentRef(
        sequence=content_sequence,
        sha256=sha256_of(stored),
        size=len(stored),
        expires_at=now + deps.retention if deps.retention is not None else None,
    )
    fact = _fact(command, decision, email_id, rewritten, content)
    envelope = new_envelope(fact, source="sender", actor=actor, at=now, correlation_id=request_id)
    sequence = await _commit(deps.bus, envelope, email_id)
    if isinstance(fact, EmailAccepted):
        return Accepted(email_id, "queued", fact.provider_id, sequence)
    return Accepted(email_id, "captured", None, sequence, _how_to_deliver(command.sender_domain, fact.route.detail))


def _how_to_deliver(domain: str, why: str | None) -> str:
    return (
        f"It is kept and delivered to nobody: {why or 'there is no provider for it'}. Register {domain} with POST "
        "/api/email-domains, or make an SMTP provider the default with PATCH /api/email-providers/{id} "
        '{"is_default": true}; then send it again.'
    )


async def _route(directory: Directory, command: AcceptEmail) -> Routed | Captured:
    if not directory.caught_up:
        raise UnavailableError("Providers and domains have not been read yet.", slug="not_caught_up")
    decision = _decide(directory, command)
    if not isinstance(decision, Routed):
        # The views are milliseconds behind: no negative answer before they have seen the log's end.
        if not await directory.refresh():
            raise UnavailableError("Providers and domains have not caught up with the log yet.", slug="not_caught_up")
        decision = _decide(directory, command)
    if isinstance(decision, Unsuitable):
        raise InvalidError(list(decision.complaints))
    if isinstance(decision, Refused):
        raise _refusal(decision)
    return decision


def _decide(directory: Directory, command: AcceptEmail) -> Decision:
    def complain(provider: ProviderState) -> list[Complaint]:
        return complaints(limits_of(provider.provider_type), _mail(command, command.html))

    return decide_route(command.sender_domain, directory.domains, directory.providers, complain)


def _mail(command: AcceptEmail, html: str | None) -> Mail:
    addresses = tuple(each.address for each in command.recipients)
    return Mail(addresses, command.sender.address, command.subject, command.text, html)


def _refuse_unsuitable(found: list[Complaint]) -> None:
    """Its links rewritten, it may have become too long for its provider."""
    if found:
        raise InvalidError(found)


def _refusal(refused: Refused) -> ConflictError:
    domain = refused.domain
    if refused.slug == "domain_not_verified":
        return ConflictError(
            f"The domain {domain.domain} is registered and not verified.",
            slug="domain_not_verified",
            suggestion=f"Publish its DNS records, then POST /api/email-domains/{domain.id}/verify.",
        )
    return ConflictError(
        f"The provider of {domain.domain} is inactive and has no usable fallback.",
        slug="provider_inactive",
        suggestion=f'PATCH /api/email-providers/{domain.provider_id} with {{"is_active": true}}.',
    )


def _prepare(command: AcceptEmail, email_id: UUID, base_url: str) -> tuple[Rewritten | None, bytes]:
    rewritten = None
    if command.html is not None and (command.track_opens or command.track_clicks):
        try:
            rewritten = rewrite(
                command.html,
                email_id=email_id,
                base_url=base_url,
                clicks=command.track_clicks,
                opens=command.track_opens,
            )
        except TooManyLinks as error:
            raise InvalidError([("html", str(error))]) from error
    tracked = rewritten.html if rewritten is not None else None
    content = Content(text=command.text, html=command.html, tracked_html=tracked, headers=command.headers)
    return rewritten, encode_content(content)


def _fact(
    command: AcceptEmail,
    decision: Routed | Captured,
    email_id: UUID,
    rewritten: Rewritten | None,
    content: ContentRef,
) -> EmailAccepted | EmailCaptured:
    common = {
        "email_id": email_id,
        "domain_id": decision.route.domain_id,
        "route": decision.route,
        "from_address": command.sender.address,
        "from_name": command.sender.name,
        "recipients": command.recipients,
        "reply_to": command.reply_to,
        "subject": command.subject,
        "tags": command.tags,
        "metadata": command.metadata,
        "message_id": f"<{email_id}@{command.sender_domain}>",
        "content": content,
        "has_html": command.html is not None,
        "has_text": command.text is not None,
        "track_opens": command.track_opens,
        "track_clicks": command.track_clicks,
        "pixel": rewritten is not None and rewritten.pixel,
        "links": list(rewritten.links) if rewritten is not None else [],
        "rewriter_version": VERSION if rewritten is not None else None,
    }
    if isinstance(decision, Routed):
        return EmailAccepted.model_validate({**common, "provider_id": decision.provider.id})
    return EmailCaptured.model_validate({**common, "provider_id": None})


async def _store(bus: Bus, email_id: UUID, stored: bytes) -> int:
    """Store the bodies. Whatever goes wrong here, nothing has been accepted: an orphan expires."""
    try:
        return await publish_durably(
            bus,
            content_subject(shard_of(email_id)),
            stored,
            msg_id=f"{email_id}.content",
            headers={EMAIL_ID_HEADER: str(email_id)},
            patience=CONTENT_PATIENCE,
        )
    except OutcomeUnknownError as error:
        raise UnavailableError("JetStream did not take the email's bodies; nothing was accepted.") from error


async def _commit(bus: Bus, envelope: Envelope, email_id: UUID) -> int:
    try:
        return (await append(bus, envelope)).sequence
    except OutcomeUnknownError as error:
        unknown = OutcomeUnknownError(
            "The log did not answer in time: the email may have been accepted.",
            extra={"email_id": str(email_id)},
        )
        unknown.suggestion = f"Ask GET /api/emails/{email_id} before you send it again."
        raise unknown from error
