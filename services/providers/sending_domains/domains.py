"""Register, verify and delete sending domains, here and at their providers."""

from collections.abc import Iterator
from contextlib import contextmanager

from libs.common.errors import ConflictError, NotFoundError
from libs.common.facts.domain import DomainCreated, DomainDeleted, DomainState, DomainVerificationFailed, DomainVerified
from libs.common.relay.port import IdentityRefused
from services.providers.accounts.credentials import stored_secret
from services.providers.appending import Changed, NothingToDoError, append_step, caught_up, find_domain, find_provider
from services.providers.asking import IDENTITY_SECONDS, asked, struck_out
from services.providers.ports import Caller, Registry
from services.providers.sending_domains import domain_rules as domains
from services.providers.sending_domains.verification_rules import disowned, fold, questions, registered


async def create_domain(registry: Registry, provider_id: int, name: str, caller: Caller) -> Changed[DomainState]:
    """The domain as registered; `name` is lower case and IDNA. Nobody looks at DNS yet.

    What is registered already is refused before the provider is asked. When another process registers the same name
    meanwhile, or deletes the provider, an identity of ours may be left at the provider: it sends nothing, and
    registering the domain again takes it up. It is not taken back, for it may have been there before us.

    Raises `NotFoundError` for an unknown provider, `ConflictError` (`duplicate_domain`), `TempsError`
    (`credentials_rejected`, `identity_refused`, `provider_unreachable`), and the errors of appending.
    """
    await caught_up(registry.provider_view, registry.domain_view)
    provider = await find_provider(registry, provider_id)
    domains.require_free(registry.domains.live, name)
    with _registering(registry, name):
        secret = await stored_secret(registry, provider)
        async with asked(registry, provider, secret, seconds=IDENTITY_SECONDS) as relay:
            checked = registered(await relay.create_identity(name))

        def decide() -> DomainCreated:
            return domains.create(
                registry.domains.live,
                id=registry.domains.highest + 1,
                provider_id=provider_id,
                name=name,
                checked=checked,
                at=registry.now(),
            )

        async with registry.lock:
            fact, sequence = await append_step(registry.bus, registry.domain_view, decide, caller, registry)
            await caught_up(registry.provider_view)
            if provider_id not in registry.providers.live:
                # Deleted between our look and our fact (see delete_provider).
                await remove_domain(registry, fact.domain.id, caller)
                raise NotFoundError(f"there is no provider {provider_id}")
    return Changed(fact.domain, {"domain": sequence})


async def verify_domain(registry: Registry, id: int, caller: Caller) -> Changed[DomainState]:
    """Ask the provider, then DNS for the records it wants, and record what both said (`domain/verification.py`).

    A provider that does not know the domain any more has answered: the domain has failed. Raises `NotFoundError`,
    `TempsError` (`credentials_rejected`, `provider_unreachable`: then nothing is recorded), and the errors of
    appending.
    """
    state = await find_domain(registry, id)
    provider = await find_provider(registry, state.provider_id)
    secret = await stored_secret(registry, provider)
    async with asked(registry, provider, secret, seconds=IDENTITY_SECONDS) as relay:
        try:
            identity = await relay.verify_identity(state.domain)
        except IdentityRefused as refused:
            identity = disowned(state, struck_out(refused.text, secret))
    seen = await registry.look_up(questions(identity.records))

    def decide() -> DomainVerified | DomainVerificationFailed:
        current = registry.domains.live.get(id)
        if current is None:
            raise NotFoundError(f"there is no domain {id}")
        return domains.verified(current, fold(identity, seen, before=current), registry.now())

    async with registry.lock:
        fact, sequence = await append_step(registry.bus, registry.domain_view, decide, caller, registry)
    return Changed(fact.domain, {"domain": sequence})


async def delete_domain(registry: Registry, id: int, *, at_provider: bool, caller: Caller) -> dict[str, int]:
    """The position that later requests have to see. With `at_provider` it goes there first, or nowhere.

    Raises `NotFoundError`, `TempsError` (`credentials_rejected`, `identity_refused`, `provider_unreachable`: then
    the domain stays), and the errors of appending.
    """
    await caught_up(registry.domain_view)
    state = await find_domain(registry, id)
    if at_provider:
        provider = await find_provider(registry, state.provider_id)
        secret = await stored_secret(registry, provider)
        async with asked(registry, provider, secret, seconds=IDENTITY_SECONDS) as relay:
            await relay.delete_identity(state.domain)
    async with registry.lock:
        sequence = await remove_domain(registry, id, caller)
    if sequence is None:
        raise NotFoundError(f"there is no domain {id}")
    return {"domain": sequence}


async def remove_domain(registry: Registry, id: int, caller: Caller) -> int | None:
    """Append the end of a domain; the sequence, or None when somebody else was first."""

    def decide() -> DomainDeleted:
        current = registry.domains.live.get(id)
        if current is None:
            raise NothingToDoError
        return domains.delete(current, registry.now())

    try:
        _, sequence = await append_step(registry.bus, registry.domain_view, decide, caller, registry)
    except NothingToDoError:
        return None
    return sequence


@contextmanager
def _registering(registry: Registry, name: str) -> Iterator[None]:
    """One request of this process at a time asks a provider about a name: a click too many makes one identity."""
    if name in registry.registering:
        raise ConflictError(f"the domain {name} is being registered by another request", slug="duplicate_domain")
    registry.registering.add(name)
    try:
        yield
    finally:
        registry.registering.discard(name)
