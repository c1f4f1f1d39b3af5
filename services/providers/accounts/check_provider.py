"""Send a test email through a provider to the person who asks, and record how it went."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from libs.common.errors import ConflictError
from libs.common.facts.provider import ProviderState, ProviderTested
from libs.common.mime.addresses import Mailbox
from libs.common.relay.connection import same_connection
from libs.common.relay.port import SendResult, Submission, Trouble, troubled
from services.providers.accounts.change_rules import after_test
from services.providers.accounts.credentials import stored_secret
from services.providers.accounts.test_message_rules import provider_test_email
from services.providers.accounts.update_provider import resume
from services.providers.appending import Changed, NothingToDoError, append_step, caught_up, find_provider
from services.providers.asking import goodbye, struck_out
from services.providers.ports import Caller, Registry

_SECONDS = 9.0
"""With the goodbye to the relay this stays under ten."""
_ERROR_LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class Tried:
    """How a test went; `error` None is success."""

    sent_to: str
    provider_message_id: str | None
    error: str | None


async def check_provider(registry: Registry, id: int, sender: Mailbox, caller: Caller) -> Changed[Tried]:
    """A refusal by the relay is an outcome, not an error; an inactive or stopped provider is tried like any other.

    Raises `NotFoundError`, `ConflictError` when the caller has no address or the credentials are lost, and the errors
    of appending.
    """
    provider = await find_provider(registry, id)
    recipient = await _own_address(registry, caller)
    at = registry.now()
    email = provider_test_email(provider, brand=registry.brand, at=at)
    submission = registry.compose(email, sender=sender, recipient=recipient, at=at)
    secret = await stored_secret(registry, provider)
    tried = _tried(await _send(registry, provider, secret, submission), recipient, secret)
    return Changed(tried, await _record(registry, provider, tried, caller))


async def _own_address(registry: Registry, caller: Caller) -> str:
    user = registry.users.live.get(caller.user_id or 0)
    if user is None:
        await caught_up(registry.user_view)
        user = registry.users.live.get(caller.user_id or 0)
    if user is None:
        raise ConflictError("a test email goes to the logged-in user's own address, and nobody is logged in")
    return user.email


async def _send(
    registry: Registry, provider: ProviderState, secret: Mapping[str, str], submission: Submission
) -> SendResult | None:
    """The result; None if it took too long."""
    relay = registry.relays.open(provider, secret)
    if isinstance(relay, Trouble):
        return troubled(relay)
    try:
        async with asyncio.timeout(_SECONDS):
            return await relay.send(submission)
    except TimeoutError:
        return None
    finally:
        await goodbye(relay)


def _tried(result: SendResult | None, recipient: str, secret: Mapping[str, str]) -> Tried:
    if result is None:
        return Tried(recipient, None, f"no answer within {_SECONDS:g} seconds: the email may have been sent, or not")
    if result.trouble is not None:
        words = [struck_out(word, secret) for word in (result.trouble.text, result.trouble.suggestion) if word]
        code = f"{result.trouble.smtp_code} " if result.trouble.smtp_code else ""
        return _failed(recipient, code + ". ".join(word.rstrip(".") for word in words))
    if not result.recipients:
        detail = struck_out(result.detail or "no answer came", secret)
        return _failed(recipient, f"the email may have been sent, or not: {detail}")
    reply = result.recipients[0]
    if reply.outcome != "accepted":
        return _failed(recipient, f"{reply.smtp_code or ''} {struck_out(reply.text, secret)}".strip())
    return Tried(recipient, reply.provider_message_id or result.provider_message_id, None)


def _failed(recipient: str, error: str) -> Tried:
    return Tried(recipient, None, error[:_ERROR_LIMIT])


async def _record(registry: Registry, tested: ProviderState, tried: Tried, caller: Caller) -> dict[str, int]:
    def decide() -> ProviderTested:
        current = registry.providers.live.get(tested.id)
        if current is None:
            raise NothingToDoError
        return after_test(
            current,
            recipient=tried.sent_to,
            error=tried.error,
            provider_message_id=tried.provider_message_id,
            at=registry.now(),
        )

    async with registry.lock:
        try:
            fact, sequence = await append_step(registry.bus, registry.provider_view, decide, caller, registry)
        except NothingToDoError:
            return {}  # deleted meanwhile: there is nothing left to say it of
        resumed = None
        # What was tested must be what is stored now, or the success says nothing about it.
        if fact.success and same_connection(fact.provider, tested):
            resumed = await resume(registry, tested.id, caller)
    return resumed.positions if resumed is not None else {"provider": sequence}
