"""Give an attempt to another provider when its own cannot send it: nothing was sent, and the log says why.

The failover is a fact, `email.rerouted`; then the same attempt becomes due at the other provider, whose own feeder,
limits and lease apply. A crash between the two is mended like every other: who gets the message again finds the fact.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from libs.common.content import Content
from libs.common.events import Envelope
from libs.common.events.email import EmailRerouted, Route
from libs.common.events.provider import ProviderState
from libs.common.relay.limits import Mail, complaints
from libs.common.relay.port import Trouble
from services.sender.domain import outcome
from services.sender.domain.attempt import PARKED, Attempt
from services.sender.domain.routing import (
    Closed,
    candidates,
    default_provider,
    named,
    present,
    rerouted,
    stand_ins,
)
from services.sender.domain.suspicion import Handed
from services.sender.handlers.delivery import (
    DeliverDeps,
    Finished,
    Work,
    causes,
    conclude,
    home_id,
    over,
    pending,
    recipients,
    tried,
)

PUBLISHED_WITHIN = 5.0
"""Seconds from the fact until the attempt that it moved is in the queue; later, it may be there a second time."""
_REASON = {"circuit": "connection", "stopped": "configuration", "inactive": "configuration", "quota": "quota"}


@dataclass(frozen=True, slots=True)
class Ways:
    """Who else may send one email. `content` is read where a candidate's limits ask for it."""

    deps: DeliverDeps
    work: Work
    accepted: Envelope
    content: Content | None = None

    @classmethod
    async def of(cls, deps: DeliverDeps, work: Work, accepted: Envelope) -> "Ways":
        """Known before anything is tried, so that asking is free."""
        ways = cls(deps, work, accepted)
        if all(each.provider_type == "smtp" for each in ways._others()):
            return ways
        return await ways.with_content()

    async def with_content(self) -> "Ways":
        """The same with the email's bodies, which may be lost."""
        if self.content is not None:
            return self
        return Ways(self.deps, self.work, self.accepted, await self.deps.mailroom.content(self.accepted))

    def is_open(self) -> bool:
        """Whether somebody else could send it now."""
        return self.open() is not None

    def open(self) -> ProviderState | None:
        """The first that could send it now; none for an attempt that has to stay where it is."""
        if self.work.attempt.pinned:
            return None
        able = (each for each in self._others() if _available(self.deps, each) and self.suits(each))
        return next(able, None)

    def home(self) -> ProviderState | None:
        """Whose mail it is, as it is or last was."""
        identifier = home_id(self.accepted)
        return self.deps.providers.get(identifier) or self.deps.deleted.get(identifier)

    def route(self) -> Route:
        """The one it was accepted with."""
        return Route.model_validate(self.accepted.data["route"])

    def untried(self, identifiers: Iterable[int]) -> Iterator[ProviderState]:
        """Those that exist and that this attempt has not been at."""
        been = {*self.work.attempt.tried, self.work.attempt.provider_id}
        return present((each for each in identifiers if each not in been), self.deps.providers)

    def suits(self, provider: ProviderState) -> bool:
        """Whether a provider of that kind takes such an email."""
        if provider.provider_type == "smtp":
            return True
        if self.content is None:
            return False
        html = self.content.tracked_html if self.content.tracked_html is not None else self.content.html
        mail = Mail(
            recipients=recipients(self.work.attempt, self.accepted),
            sender=self.accepted.data["from_address"],
            subject=self.accepted.data["subject"],
            text=self.content.text,
            html=html,
        )
        return not complaints(provider.provider_type, mail)

    def _others(self) -> Iterator[ProviderState]:
        home = self.home()
        return self.untried(candidates(home)) if home is not None else iter(())


def moved_again(attempt: Attempt, handed: Handed) -> bool:
    """Whether a moved attempt may be in the queue a second time: a repeat of its publication came that late."""
    return bool(attempt.tried) and handed.stored_at > handed.due_at + PUBLISHED_WITHIN


def just_moved(attempt: Attempt, handed: Handed) -> bool:
    """Whether it was moved under this very connection and is handed out for the first time: nobody can have begun it.

    Otherwise the first of them after a connect would be taken for a lost worker's, wherever the server's start is not
    known, and with an unknown outcome they would have to stay.
    """
    return (
        bool(attempt.tried)
        and handed.num_delivered == 1
        and not moved_again(attempt, handed)
        and handed.due_at > max(handed.connected_at, handed.counted_since or 0.0)
    )


async def after_trouble(ways: Ways, provider: ProviderState, trouble: Trouble) -> Finished | None:
    """Nothing was sent: let the next one try, if there is one."""
    target = ways.open() if trouble.kind != "throttled" else None
    if target is None:
        return None
    return await _move(ways, provider, target, f"{named(provider)}: {trouble.text}", because=trouble.kind)


async def after_refusal(ways: Ways, provider: ProviderState, refusal: str) -> Finished | None:
    """A stand-in refused an email of another provider's for everybody: that is not the last word on it.

    Its own provider would have taken it, had it been there: the sender's domain may be unknown here, or its DNS permit
    nobody else. So the next one is asked; None: it waits for its own provider, which alone may fail it.
    """
    target = ways.open()
    if target is None:
        return None
    return await _move(ways, provider, target, f"{named(provider)} refused it: {refusal}", because="refused")


async def while_closed(ways: Ways, provider: ProviderState, closed: Closed) -> Finished | None:
    """What becomes of an attempt whose provider sends nothing now; None: it waits here."""
    deps, work = ways.deps, ways.work
    detail = f"{named(provider)}: {closed.text}"
    target = ways.open()
    if target is not None:
        return await _move(ways, provider, target, detail, because=closed.kind)
    parked = work.attempt.pinned and elsewhere(deps, provider.id)
    if not (work.attempt.tried or parked):
        return None
    if not await work.lease.regain():
        return Finished("left")
    if work.attempt.tried:
        # It came here in another's place: the next attempt is made there.
        said = tried(deps, work, reason=_REASON[closed.kind])
        nobody = outcome.everybody(await pending(deps, work), "deferred", detail)
        return await conclude(deps, work, outcome.concluded(said, nobody))
    await deps.journal.schedule(replace(work.attempt, due_at=deps.now() + PARKED))
    return Finished("parked")


async def provider_gone(deps: DeliverDeps, work: Work) -> Finished:
    """Mail of a deleted provider goes to those who could have sent it, then to the default."""
    attempt, gone = work.attempt, deps.deleted.get(work.attempt.provider_id)
    if gone is None:
        # Not known yet, or the view is being read anew: that is no reason to take its mail away.
        return Finished("left")
    accepted = work.accepted or await deps.mailroom.accepted(attempt)
    if accepted is None:
        return await over(deps, work, reason="content_lost", text="The log has lost the email.")
    work = replace(work, accepted=accepted)
    ways = Ways(deps, work, accepted, await deps.mailroom.content(accepted))
    heirs = [*_active(ways, _able(ways, gone)), *_active(ways, _default(deps))]
    heir = next((each for each in heirs if _available(deps, each)), None) or next(iter(heirs), None)
    if heir is not None:
        return await _move(ways, gone, heir, f"{named(gone)} was deleted", because="deleted")
    if not await work.lease.regain():
        return Finished("left")
    said = tried(deps, work, reason="provider_deleted")
    if said.home_id is not None:
        nobody = outcome.everybody(await pending(deps, work), "deferred", f"{named(gone)} was deleted")
        return await conclude(deps, work, outcome.concluded(said, nobody))
    text = "The provider was deleted and there is no fallback and no default to take over."
    return await over(deps, work, reason="provider_deleted", text=text)


def elsewhere(deps: DeliverDeps, provider_id: int) -> bool:
    """Whether anything that waits at a closed provider could be sent by another one now."""
    return any(_available(deps, each) for each in present(stand_ins(provider_id, deps.providers), deps.providers))


async def follow(deps: DeliverDeps, attempt: Attempt, rerouted_fact: Envelope) -> None:
    """It was moved before; whoever did that may not have come as far as putting it there."""
    await deps.journal.move(attempt.moved(rerouted_fact), rerouted_fact)


async def _move(ways: Ways, source: ProviderState, target: ProviderState, detail: str, *, because: str) -> Finished:
    deps, work, attempt = ways.deps, ways.work, ways.work.attempt
    outlet = deps.outlets.get(target.id)
    if outlet is not None:
        outlet.invite()
    if not await work.lease.regain():
        # Somebody else may have it by now, and must not find that it went elsewhere while he sends it.
        return Finished("left")
    able = target.id in _able(ways, source)
    fact = EmailRerouted(
        email_id=attempt.email_id,
        attempt=attempt.number,
        from_provider_id=source.id,
        provider_id=target.id,
        route=rerouted(ways.route(), home_id(ways.accepted), target.id, detail, named=able),
        tried=[*attempt.tried, source.id],
    )
    work.lease.decided()
    stored = await deps.journal.record(fact, **causes(work))
    await follow(deps, attempt, stored)
    return Finished(fact.EVENT, moved_to=target.id, because=because)


def _able(ways: Ways, gone: ProviderState) -> list[int]:
    """Whom somebody named for such mail: its home and that one's fallbacks, then those of the provider that is gone."""
    home = ways.home()
    return [*(candidates(home) if home is not None else ()), *candidates(gone)]


def _default(deps: DeliverDeps) -> list[int]:
    """The default; not the bundled inbox, which keeps what it gets, so that mail ends there only by somebody's wish."""
    default = default_provider(deps.providers)
    return [default.id] if default is not None and not default.is_local_inbox else []


def _active(ways: Ways, identifiers: Iterable[int]) -> list[ProviderState]:
    return [each for each in ways.untried(dict.fromkeys(identifiers)) if each.is_active and ways.suits(each)]


def _available(deps: DeliverDeps, provider: ProviderState) -> bool:
    outlet = deps.outlets.get(provider.id)
    return outlet is not None and outlet.available
