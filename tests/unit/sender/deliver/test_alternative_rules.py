"""Who else may send an email: its own provider, the fallbacks, the default, and of those only whom it suits."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from libs.common.facts.provider import ProviderState
from libs.common.jetstream.content import Content
from services.sender.deliver.alternative_rules import Alternatives, Target, anybody_else
from tests.support.sending import provider_state
from tests.unit.sender.deliver.cases import HOME, SECOND, THIRD, accepted, attempt

DEFAULT = provider_state(9, 25, is_default=True)
SCALEWAY = provider_state(2, 25, provider_type="scaleway", smtp=None)
SHORT, LONG = Content(text="Hi"), Content(text="Good morning, Ada.")


def others(
    *providers: ProviderState, shut: Collection[int] = (), deleted: Collection[ProviderState] = (), **members: Any
) -> Alternatives:
    """For an attempt at provider 1, whose fallbacks are 2 and 3; everybody but `shut` is open."""
    found = Alternatives(
        attempt(),
        accepted(),
        {each.id: each for each in providers},
        {each.id: each for each in deleted},
        lambda provider: provider.id not in shut,
    )
    return replace(found, **members)


def test_the_first_fallback_that_is_open_is_next() -> None:
    assert others(HOME, SECOND, THIRD).open() == Target(SECOND)
    assert others(HOME, SECOND, THIRD, shut={2}).open() == Target(THIRD)
    assert others(HOME, SECOND, THIRD, shut={2, 3}).open() is None
    assert others(HOME, THIRD).open() == Target(THIRD), "the second does not exist"


def test_it_goes_back_to_no_provider_that_this_attempt_has_been_at() -> None:
    guest = attempt(provider_id=2, tried=(1,))
    assert others(HOME, SECOND, THIRD, attempt=guest).open() == Target(THIRD)
    assert others(HOME, SECOND, THIRD, shut={3}, attempt=guest).open() is None


def test_from_a_stand_in_it_goes_home_when_home_was_not_asked_yet() -> None:
    assert others(HOME, SECOND, THIRD, attempt=attempt(provider_id=2)).open() == Target(HOME)


def test_with_an_unknown_outcome_it_goes_nowhere() -> None:
    assert others(HOME, SECOND, THIRD, attempt=attempt(pinned=True)).open() is None


def test_a_provider_takes_only_what_its_kind_takes() -> None:
    providers = (HOME, SCALEWAY, THIRD)
    assert others(*providers).depend_on_content
    assert not others(HOME, SECOND, THIRD).depend_on_content
    long = accepted(subject="A subject of some length")
    assert others(*providers, accepted=long, content=LONG).open() == Target(SCALEWAY)
    assert others(*providers, accepted=long, content=SHORT).open() == Target(THIRD)
    assert others(*providers, accepted=long).open() == Target(THIRD), "what nobody has read suits nobody with limits"


def test_a_deleted_providers_mail_goes_to_fallbacks_then_default() -> None:
    assert others(SECOND, THIRD, DEFAULT, deleted=[HOME]).heir(HOME) == Target(SECOND)
    assert others(SECOND, DEFAULT, deleted=[HOME], shut={2}).heir(HOME) == Target(DEFAULT, named=False)
    assert others(SECOND, deleted=[HOME], shut={2}).heir(HOME) == Target(SECOND), "it will be open some day"
    assert others(deleted=[HOME]).heir(HOME) is None


def test_an_inactive_provider_and_the_bundled_inbox_inherit_nothing() -> None:
    off = SECOND.model_copy(update={"is_active": False})
    inbox = DEFAULT.model_copy(update={"is_local_inbox": True})
    assert others(off, inbox, deleted=[HOME]).heir(HOME) is None


def test_who_waits_at_a_closed_provider_may_have_somebody_else() -> None:
    providers = {each.id: each for each in (HOME, SECOND)}
    assert anybody_else(1, providers, lambda provider: provider.id == 2)
    assert not anybody_else(1, providers, lambda provider: provider.id == 1)
    assert anybody_else(2, providers, lambda provider: provider.id == 1), "guests go home"
