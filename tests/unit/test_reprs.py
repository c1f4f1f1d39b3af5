"""What holds a secret shows none when it is printed: it may end up in a log, an error or a test's output."""

import base64
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from deploy.local import credentials, stack
from deploy.local.home import open_home
from deploy.local.postgres import Passwords
from deploy.local.stack import Plan
from libs.common.facts.provider import SmtpEndpoint
from libs.common.jetstream.bus import Bus
from libs.common.relay.opening import Surroundings, open_relay
from libs.common.relay.scaleway.settings import ScalewaySettings
from libs.common.relay.ses.settings import SesSettings
from libs.common.relay.smtp.settings import SmtpSettings
from libs.common.settings import RelaySettings
from libs.common.vault.keyring import KeyRing, RingFile, write_key_ring
from libs.common.web import Service
from services.analytics.settings import Settings as AnalyticsSettings
from services.gateway.auth.first_steps import FirstSteps
from services.gateway.auth.keys_api import CreatedApiKey
from services.gateway.auth.password_hashes import PasswordHashes
from services.gateway.auth.session_api import LogIn
from services.providers.accounts.change_rules import Change, Draft
from services.providers.accounts.credential_rules import Credentials
from services.providers.accounts.credential_store import StoredSecrets
from services.providers.requests import CreateProvider, UpdateProvider
from services.sender.channel.relays import Relays
from tests.support.canaries import Canaries, found_in, needles
from tests.support.sending import provider_state

CANARIES = Canaries()
KEY, TEXT, USER = CANARIES.key("key"), CANARIES.text("text"), CANARIES.user("user")
PROJECT = "6170692e-7363-616c-6577-61792e636f6d"
RAW = bytes(range(97, 122)) + b"nineb32"
ENDPOINT = SmtpEndpoint(host="h", port=25, encryption="none", accept_invalid_certs=False)
SECRET: Mapping[str, str] = {"username": USER, "password": TEXT, "access_key_id": KEY, "secret_access_key": KEY}
COMMON: dict[str, Any] = {"nats_url": f"nats://u:{KEY}@h:4222", "principal_key_file": Path("p")}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BLOCKS: dict[str, dict[str, Any]] = {
    "smtp": {"host": "h", "port": 25, "username": USER, "password": TEXT},
    "ses": {"access_key_id": KEY, "secret_access_key": KEY},
    "scaleway": {"api_key": KEY, "project_id": PROJECT},
}


def _asked(model: type[CreateProvider | UpdateProvider], kind: str, **other: Any) -> Callable[[Path], object]:
    body = {"name": "n", f"{kind}_credentials": BLOCKS[kind], **other}
    return lambda _: model.model_validate(body)


def _draft() -> Draft:
    return Draft("n", "smtp", "custom", True, False, 1, None, (), Credentials(ENDPOINT, SECRET))  # noqa: FBT003 - fields


def _service() -> Service:
    return Service(name="x", routers=[], principal_key=RAW)


def _first_steps() -> FirstSteps:
    unused: Any = None
    return FirstSteps("a@b.example", TEXT, KEY, unused, unused, unused, unused, unused, unused)


def _created_key() -> CreatedApiKey:
    about = {"id": 1, "name": "n", "prefix": "tk_", "user_id": 1, "role": None, "scopes": [], "expires_at": None}
    return CreatedApiKey.model_validate({**about, "created_at": NOW, "key": KEY})


def _ring_file(folder: Path) -> RingFile:
    write_key_ring(folder / "ring.json", KeyRing("k1", {"k1": RAW}))
    return RingFile(folder / "ring.json")


BUS = Bus("nats://127.0.0.1:1", name="unused")
HOLDERS: dict[str, Callable[[Path], object]] = {
    "SMTP settings": lambda _: SmtpSettings("h", 25, USER, SecretStr(TEXT)),
    "SES settings": lambda _: SesSettings(KEY, SecretStr(KEY), "eu-west-1"),
    "Scaleway settings": lambda _: ScalewaySettings(SecretStr(KEY), PROJECT, "fr-par"),
    "credentials": lambda _: Credentials(ENDPOINT, SECRET),
    "a draft": lambda _: _draft(),
    "a change": lambda _: Change({}, Credentials(ENDPOINT, SECRET), Credentials(None, SECRET)),
    **{f"a new {kind} provider": _asked(CreateProvider, kind, provider_type=kind) for kind in BLOCKS},
    **{f"a changed {kind} provider": _asked(UpdateProvider, kind) for kind in BLOCKS},
    "a login": lambda _: LogIn(email="a@b.example", password=TEXT),
    "a created key": lambda _: _created_key(),
    "the first steps": lambda _: _first_steps(),
    "a service": lambda _: _service(),
    "a ring": lambda _: KeyRing("k1", {"k1": RAW}),
    "a ring's file": _ring_file,
    "password hashes": lambda folder: PasswordHashes(BUS, _ring_file(folder)),
    "stored secrets": lambda folder: StoredSecrets(BUS, _ring_file(folder)),
    "the sender's relays": lambda folder: Relays(BUS, _ring_file(folder), Surroundings()),
    "a relay's process": lambda folder: RelaySettings(**COMMON, keyring_file=folder),
    "analytics' settings": lambda _: AnalyticsSettings(**COMMON, postgres_url=KEY, postgres_owner_url=KEY),
    "Postgres' passwords": lambda _: Passwords(KEY, KEY, KEY),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_holds_a_secret_shows_none(holder: str, tmp_path: Path) -> None:
    _shows_none(HOLDERS[holder](tmp_path))


@pytest.mark.parametrize("kind", BLOCKS)
async def test_a_relay_shows_no_credentials(kind: str) -> None:
    state = provider_state(1, 25, provider_type=kind, region="fr-par", smtp=ENDPOINT if kind == "smtp" else None)
    relay: Any = open_relay(state, BLOCKS[kind], Surroundings(), connections=1)
    _shows_none(relay)
    slots = {name for each in type(relay).__mro__ for name in getattr(each, "__slots__", ())}
    for name in slots | vars(relay).keys() if hasattr(relay, "__dict__") else slots:
        part = getattr(relay, name)
        if not isinstance(part, str | tuple):  # what is to be struck out has to be somewhere
            _shows_none(part)
    await relay.close()


def test_what_cannot_be_read_is_not_quoted() -> None:
    with pytest.raises(ValidationError) as refused:
        CreateProvider.model_validate(
            {"name": [TEXT], "provider_type": KEY, "smtp_credentials": {"password": {"x": TEXT}}}
        )
    _shows_none(refused.value)
    with pytest.raises(ValueError, match="API key") as wrong:
        ScalewaySettings(SecretStr(f"{KEY} {KEY}"), PROJECT, "fr-par")
    _shows_none(wrong.value)


def test_the_plan_of_a_start_and_its_parts_show_no_secret_of_the_home(tmp_path: Path) -> None:
    home = open_home({"TEMPS_HOME": str(tmp_path)})
    made = credentials.ensure(home)
    ports = {name: number for number, name in enumerate((*stack.LISTENERS, "gateway"), 1_000)}
    plan = Plan(home, ports, made, {})
    shown = f"{plan!r} {plan} {stack.parts(plan)!r} {made!r}".encode()
    files = [*home.secrets.iterdir(), home / "api-key", home / "admin-password"]
    for file in files:
        secret = file.read_text().strip()
        assert not found_in(shown, needles(secret, file.name))


def _shows_none(holder: object) -> None:
    unwanted = {**CANARIES.needles, RAW: "raw", base64.b64encode(RAW): "raw in base64"}
    shown = f"{holder!r} {holder} {[holder]}".encode()
    assert not found_in(shown, unwanted)
