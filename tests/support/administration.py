"""Users, keys, providers and domains as facts carry them; every value that is or hides a secret is `CANARY`."""

from datetime import datetime, timedelta
from typing import Any

from libs.common.facts import Actor, Fact
from libs.common.facts.domain import DomainCreated, DomainDeleted, DomainState, DomainVerificationFailed
from libs.common.facts.key import KeyCreated, KeyDeleted, KeyState
from libs.common.facts.provider import (
    ProviderCreated,
    ProviderDeleted,
    ProviderState,
    ProviderStopped,
    ProviderTested,
    ProviderUpdated,
    SmtpEndpoint,
    Stopped,
)
from libs.common.facts.user import UserCreated, UserState, UserUpdated
from tests.support.history import BEGINNING, History, attempted, hit, new_id, submitted

CANARY = "canary-3b9c"

GATEWAY = Actor(id="gateway", kind="system")
SENDER = Actor(id="sender", kind="system")
ANN = Actor(id="user/1", kind="session", user_id=1, ip="192.0.2.1", user_agent="a browser")
KEY = Actor(id="key/1", kind="key", user_id=1, ip="192.0.2.9", user_agent="curl/8")
EMAIL, CAPTURED = new_id(1), new_id(2)


def user(id: int = 1, name: str = "Administrator") -> UserState:
    return UserState(
        id=id,
        email="ann@example.org",
        name=name,
        role="admin",
        is_active=True,
        epoch=1,
        credential_version=CANARY,
        created_at=BEGINNING,
        updated_at=BEGINNING,
    )


def key(id: int = 1, name: str = "First key") -> KeyState:
    return KeyState(
        id=id,
        name=name,
        prefix=CANARY,
        sha256=CANARY,
        user_id=1,
        role=None,
        scopes=["emails:send"],
        expires_at=None,
        created_at=BEGINNING,
    )


def provider(id: int = 1, **other: Any) -> ProviderState:
    state = ProviderState(
        id=id,
        name="Relay",
        provider_type="smtp",
        region="custom",
        is_active=True,
        is_default=False,
        is_local_inbox=False,
        max_connections=10,
        rate_limit_per_second=None,
        fallback_provider_ids=[],
        smtp=SmtpEndpoint(host="smtp.example.com", port=587, encryption="starttls", accept_invalid_certs=False),
        credentials={"username": CANARY, "password": CANARY},
        credential_version=CANARY,
        last_test=None,
        stopped=None,
        created_at=BEGINNING,
        updated_at=BEGINNING,
    )
    return state.model_copy(update=other)


def domain(id: int = 1, **other: Any) -> DomainState:
    state = DomainState(
        id=id,
        provider_id=1,
        domain="example.com",
        status="pending",
        dns_records=[],
        last_verified_at=None,
        verification_error=None,
        created_at=BEGINNING,
        updated_at=BEGINNING,
    )
    return state.model_copy(update=other)


def minute(number: int) -> datetime:
    return BEGINNING + timedelta(minutes=number)


def a_day() -> History:
    """A minute between two facts; the name of the user changes in between."""
    history = History()
    tested = ProviderTested(
        provider=provider(), recipient_email="ann@example.org", success=False, error="535 no", provider_message_id=None
    )
    before: list[tuple[Fact, Actor]] = [
        (UserCreated(user=user()), GATEWAY),
        (KeyCreated(key=key()), GATEWAY),
        (ProviderCreated(provider=provider()), ANN),
        (UserUpdated(user=user(name="Ann"), changed_fields=["name"]), ANN),
        (ProviderUpdated(provider=provider(), changed_fields=["name", "smtp_credentials.password"]), ANN),
        (tested, KEY),
        (ProviderStopped(provider=provider(stopped=Stopped(reason="login", at=BEGINNING))), SENDER),
        (DomainCreated(domain=domain()), KEY),
        (DomainVerificationFailed(domain=domain(status="failed", verification_error="no SPF")), KEY),
    ]
    after: list[tuple[Fact, Actor]] = [
        (DomainDeleted(domain=domain()), ANN),
        (ProviderDeleted(provider=provider(), forced=False), ANN),
        (KeyDeleted(key=key()), ANN),
    ]
    for number, (fact, actor) in enumerate(before):
        history.note(fact, minute(number), actor)
    people = ["a@example.org", "b@example.org"]
    history.add("email.accepted.v1", EMAIL, minute(10), by=KEY, **submitted(people, subject=CANARY))
    history.add("email.sent.v1", EMAIL, minute(11), **attempted(dict.fromkeys(people, "accepted")))
    history.add("email.captured.v1", CAPTURED, minute(12), by=KEY, **submitted(provider_id=None, domain_id=None))
    for number, (fact, actor) in enumerate(after):
        history.note(fact, minute(20 + number), actor)
    history.add("email.opened.v1", EMAIL, minute(60), **hit())
    return history
