"""Steps that change providers: never two defaults, nothing dangling, nothing said twice."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.common.errors import InvalidError
from libs.common.facts.provider import (
    ProviderCreated,
    ProviderDeleted,
    ProviderResumed,
    ProviderState,
    ProviderUpdated,
    Stopped,
)
from services.providers.accounts.change_rules import (
    Change,
    Draft,
    after_test,
    check_draft,
    next_to_create,
    next_to_delete,
    next_to_update,
    resumed,
    takes_default,
)
from services.providers.accounts.credential_rules import Credentials
from tests.unit.providers.samples import T0, endpoint, provider

T1 = datetime(2026, 1, 2, tzinfo=UTC)
INBOX = "127.0.0.1:1025"


def known(*states: ProviderState) -> dict[int, ProviderState]:
    return {state.id: state for state in states}


DRAFT = Draft("new", "smtp", "custom", True, False, 10, None, (), Credentials(endpoint(), {}))  # noqa: FBT003


def create(providers: dict[int, ProviderState], draft: Draft, *, default: bool) -> ProviderUpdated | ProviderCreated:
    return next_to_create(providers, draft, id=9, default=default, version="v", inbox=INBOX, at=T1)


def update(
    providers: dict[int, ProviderState], id: int, version: str | None = None, **settings: Any
) -> ProviderUpdated | ProviderResumed | None:
    return next_to_update(providers, providers[id], Change(settings), version=version, inbox=INBOX, at=T1)


def test_the_former_default_gives_way_before_the_new_one_is_there() -> None:
    providers = known(provider(1, is_default=True), provider(2))
    step = create(providers, replace(DRAFT, is_default=True), default=True)
    assert isinstance(step, ProviderUpdated)
    assert (step.provider.id, step.provider.is_default, step.changed_fields) == (1, False, ["is_default"])
    providers[1] = step.provider
    created = create(providers, replace(DRAFT, is_default=True), default=True)
    assert isinstance(created, ProviderCreated)
    assert (created.provider.id, created.provider.is_default, created.provider.credential_version) == (9, True, "v")


def test_the_first_real_provider_takes_the_default_from_the_inbox() -> None:
    stand_in = known(provider(1, is_default=True, is_local_inbox=True))
    assert takes_default(stand_in, DRAFT, inbox=INBOX)
    assert not takes_default(known(provider(1, is_default=True)), DRAFT, inbox=INBOX)
    assert not takes_default(known(provider(1, is_local_inbox=True)), DRAFT, inbox=INBOX), (
        "the inbox is not the default"
    )
    assert not takes_default(stand_in, replace(DRAFT, is_active=False), inbox=INBOX), "an inactive one cannot send"
    assert takes_default(stand_in, replace(DRAFT, provider_type="ses"), inbox=INBOX), "whatever its type"
    second_inbox = replace(DRAFT, credentials=Credentials(endpoint("localhost", 1025), {}))
    assert not takes_default(stand_in, second_inbox, inbox=INBOX)


def test_the_inbox_is_recognised_when_a_provider_is_made_and_when_it_changes() -> None:
    draft = replace(DRAFT, credentials=Credentials(endpoint("localhost", 1025), {}))
    created = create({}, draft, default=False)
    assert created.provider.is_local_inbox
    before = Credentials(endpoint("localhost", 1025), {})
    change = Change({}, before, Credentials(endpoint("relay.example.com", 25), {}))
    moved = next_to_update(known(created.provider), created.provider, change, version=None, inbox=INBOX, at=T1)
    assert isinstance(moved, ProviderUpdated)
    assert not moved.provider.is_local_inbox
    assert moved.changed_fields == ["smtp_credentials.host", "smtp_credentials.port", "is_local_inbox"]
    assert moved.provider.credentials["host"] == "relay.example.com"


@pytest.mark.parametrize("draft", [replace(DRAFT, is_default=True, is_active=False)])
def test_an_inactive_provider_is_never_made_the_default(draft: Draft) -> None:
    with pytest.raises(InvalidError, match="is_default"):
        check_draft(draft, custom_endpoints=False)
    with pytest.raises(InvalidError, match="is_default"):
        update(known(provider(1, is_active=False)), 1, is_default=True)
    with pytest.raises(InvalidError, match="is_default"):
        update(known(provider(1)), 1, is_default=True, is_active=False)


@pytest.mark.parametrize(
    ("provider_type", "region"),
    [("ses", "eu-west-1"), ("ses", "us-gov-west-1"), ("scaleway", "fr-par"), ("smtp", "Anywhere & elsewhere")],
)
def test_a_region_is_one_that_the_type_could_have(provider_type: str, region: str) -> None:
    check_draft(replace(DRAFT, provider_type=provider_type, region=region), custom_endpoints=False)
    changed = update(known(provider(1, provider_type=provider_type)), 1, region=region)
    assert isinstance(changed, ProviderUpdated)
    assert changed.changed_fields == ["region"]


@pytest.mark.parametrize(
    ("provider_type", "region"),
    [
        ("ses", "custom"),
        ("ses", "fr-par"),
        ("ses", "eu-west-1.evil.example/"),
        ("ses", "EU-WEST-1"),
        ("ses", "eu-west-1\n"),
        ("ses", "eu-west-٣"),
        ("scaleway", "eu-west-1"),
        ("scaleway", "fr-par-1"),
        ("scaleway", "FR-PAR"),
    ],
)
def test_a_region_that_could_lead_elsewhere_is_refused(provider_type: str, region: str) -> None:
    with pytest.raises(InvalidError, match="region"):
        check_draft(replace(DRAFT, provider_type=provider_type, region=region), custom_endpoints=False)
    with pytest.raises(InvalidError, match="region"):
        update(known(provider(1, provider_type=provider_type)), 1, region=region)


def test_providers_may_be_each_others_fallback() -> None:
    providers = known(provider(1, fallback_provider_ids=[2]), provider(2))
    step = update(providers, 2, fallback_provider_ids=[1])
    assert isinstance(step, ProviderUpdated)
    assert step.provider.fallback_provider_ids == [1]


def test_nothing_changed_is_no_step() -> None:
    providers = known(provider(1, is_default=True))
    assert update(providers, 1) is None
    assert update(providers, 1, name="provider 1", is_active=True, is_default=True, fallback_provider_ids=[]) is None


def test_a_rename_keeps_everything_else_the_secret_included() -> None:
    providers = known(provider(1, credential_version="v1", credentials={"password": "***"}))
    step = update(providers, 1, "v2", name="other")
    assert isinstance(step, ProviderUpdated)
    assert step.changed_fields == ["name"]
    assert step.provider == providers[1].model_copy(update={"name": "other", "updated_at": T1})


def test_deactivating_the_default_leaves_none() -> None:
    step = update(known(provider(1, is_default=True), provider(2)), 1, is_active=False)
    assert isinstance(step, ProviderUpdated)
    assert (step.provider.is_active, step.provider.is_default) == (False, False)
    assert step.changed_fields == ["is_active", "is_default"]


def test_a_provider_that_becomes_the_default_waits_for_the_former_one() -> None:
    providers = known(provider(1, is_default=True), provider(2))
    first = update(providers, 2, is_default=True)
    assert isinstance(first, ProviderUpdated)
    assert (first.provider.id, first.provider.is_default) == (1, False)
    providers[1] = first.provider
    second = update(providers, 2, is_default=True)
    assert isinstance(second, ProviderUpdated)
    assert (second.provider.id, second.provider.is_default) == (2, True)
    providers[2] = second.provider
    assert update(providers, 2, is_default=True) is None


def test_fallbacks_exist_and_are_others() -> None:
    providers = known(provider(1), provider(2))
    with pytest.raises(InvalidError, match="no such provider: 7"):
        update(providers, 1, fallback_provider_ids=[2, 7])
    with pytest.raises(InvalidError, match="its own fallback"):
        update(providers, 1, fallback_provider_ids=[1])
    with pytest.raises(InvalidError, match="no such provider: 9"):
        create(providers, replace(DRAFT, fallback_provider_ids=(9,)), default=False)
    step = update(providers, 1, fallback_provider_ids=[2])
    assert isinstance(step, ProviderUpdated)
    assert step.provider.fallback_provider_ids == [2]


def test_a_deleted_provider_leaves_every_list_first() -> None:
    providers = known(
        provider(1, is_default=True, credential_version="v1"),
        provider(2, fallback_provider_ids=[1, 3]),
        provider(3, fallback_provider_ids=[1]),
    )
    steps: list[ProviderUpdated | ProviderDeleted] = []
    while not steps or isinstance(steps[-1], ProviderUpdated):
        step = next_to_delete(providers, providers[1], forced=True, at=T1)
        providers[step.provider.id] = step.provider
        steps.append(step)
    assert [(step.provider.id, step.provider.fallback_provider_ids) for step in steps[:2]] == [(2, [3]), (3, [])]
    gone = steps[-1]
    assert isinstance(gone, ProviderDeleted)
    assert (gone.provider.id, gone.forced, gone.provider.is_default, gone.provider.credential_version) == (
        1,
        True,
        False,
        None,
    )


def test_only_a_stopped_provider_resumes() -> None:
    assert resumed(provider(1), T1) is None
    fact = resumed(provider(1, stopped=Stopped(reason="535 no", at=T0)), T1)
    assert fact is not None
    assert fact.provider.stopped is None


def test_a_test_is_remembered_with_what_the_relay_said() -> None:
    fact = after_test(provider(1), recipient="a@b.example", error="550 no", provider_message_id=None, at=T1)
    assert fact.provider.last_test is not None
    assert (fact.success, fact.provider.last_test.success, fact.provider.last_test.error) == (False, False, "550 no")
    assert after_test(provider(1), recipient="a@b.example", error=None, provider_message_id="m", at=T1).success
