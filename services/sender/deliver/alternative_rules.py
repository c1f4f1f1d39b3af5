"""Finds another provider for an email whose provider cannot send it.

That is the provider whose mail it is, then the fallbacks of that one; where a provider was deleted, also the fallbacks
that it had, and at last the default. Pure: providers and what is open are handed in, as they are at this moment.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from libs.common.facts import Envelope
from libs.common.facts.provider import ProviderState
from libs.common.jetstream.content import Content
from libs.common.relay.kinds import limits_of
from libs.common.relay.limits import Mail, complaints
from services.sender.deliver.attempt_rules import Attempt, home_id, recipients
from services.sender.routing_rules import candidates, default_provider, present, stand_ins

IsOpen = Callable[[ProviderState], bool]
"""True if a provider accepts other providers' mail now (`services.sender.ports.DeliveryChannel.available`)."""


@dataclass(frozen=True, slots=True)
class Target:
    """The provider that an attempt moves to. `named`: its home or a fallback of one, not merely the default."""

    provider: ProviderState
    named: bool = True


@dataclass(frozen=True, slots=True)
class Alternatives:
    """The alternatives of one attempt. `deleted` holds the last states of providers that are gone.

    `content` is None until it was read, and when it is lost: then only providers without limits suit.
    """

    attempt: Attempt
    accepted: Envelope
    providers: Mapping[int, ProviderState]
    deleted: Mapping[int, ProviderState]
    is_open: IsOpen
    content: Content | None = None

    @property
    def depend_on_content(self) -> bool:
        """True if some have limits, so that the content is needed to choose."""
        return any(limits_of(each.provider_type).any for each in self._others())

    def open(self) -> Target | None:
        """The first that could send it now; none for an attempt that has to stay where it is."""
        if self.attempt.pinned:
            return None
        able = (each for each in self._others() if self.is_open(each) and self._suits(each))
        found = next(able, None)
        return Target(found) if found is not None else None

    def heir(self, gone: ProviderState) -> Target | None:
        """The provider that inherits a deleted one's email: the first that is open, else the first candidate."""
        named = [*(candidates(home) if (home := self._home()) is not None else ()), *candidates(gone)]
        heirs = [*self._active(named), *self._active(_last_resort(self.providers))]
        heir = next((each for each in heirs if self.is_open(each)), None) or next(iter(heirs), None)
        return Target(heir, named=heir.id in named) if heir is not None else None

    def _home(self) -> ProviderState | None:
        """Whose mail it is, as it is or last was."""
        identifier = home_id(self.accepted)
        return self.providers.get(identifier) or self.deleted.get(identifier)

    def _others(self) -> Iterator[ProviderState]:
        home = self._home()
        return self._untried(candidates(home)) if home is not None else iter(())

    def _untried(self, identifiers: Iterable[int]) -> Iterator[ProviderState]:
        """Existing providers that have not had this attempt yet."""
        been = {*self.attempt.tried, self.attempt.provider_id}
        return present((each for each in identifiers if each not in been), self.providers)

    def _active(self, identifiers: Iterable[int]) -> list[ProviderState]:
        return [each for each in self._untried(dict.fromkeys(identifiers)) if each.is_active and self._suits(each)]

    def _suits(self, provider: ProviderState) -> bool:
        """True if a provider of that kind accepts this email."""
        limits = limits_of(provider.provider_type)
        if not limits.any:
            return True
        if self.content is None:
            return False
        html = self.content.tracked_html if self.content.tracked_html is not None else self.content.html
        mail = Mail(
            recipients=recipients(self.attempt, self.accepted),
            sender=self.accepted.data["from_address"],
            subject=self.accepted.data["subject"],
            text=self.content.text,
            html=html,
        )
        return not complaints(limits, mail)


def anybody_else(provider_id: int, providers: Mapping[int, ProviderState], is_open: IsOpen) -> bool:
    """True if another provider could send some of the mail that waits at a closed one."""
    return any(is_open(each) for each in present(stand_ins(provider_id, providers), providers))


def _last_resort(providers: Mapping[int, ProviderState]) -> list[int]:
    """The default; not the bundled inbox, which keeps what it gets, so that mail ends there only by somebody's wish."""
    default = default_provider(providers)
    return [default.id] if default is not None and not default.is_local_inbox else []
