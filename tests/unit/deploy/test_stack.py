import sys
from pathlib import Path

import pytest

from deploy.local import credentials, stack
from deploy.local.__main__ import DOWN_SECONDS
from deploy.local.errors import LocalError
from deploy.local.home import open_home
from deploy.local.parts import PATIENCE, Rank
from deploy.local.stack import LISTENERS, Plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    home = open_home({"TEMPS_HOME": str(tmp_path)})
    ports = {name: 20_000 + index for index, name in enumerate(LISTENERS)} | {"gateway": 8080}
    return Plan(home, ports, credentials.ensure(home), {})


def test_each_service_is_a_process_of_its_own_that_ps_shows_by_name(plan: Plan) -> None:
    commands = {part.name: part.command for part in stack.parts(plan)}
    for name in ("gateway", "providers", "sender", "tracking", "analytics"):
        assert commands[name] == (sys.executable, "-m", f"services.{name}")
    assert commands["worker"] == (sys.executable, "-m", "services.sender", "worker")
    assert commands["inbox"] == (sys.executable, "-m", "deploy.local.inbox")
    assert str(plan.store) in commands["nats"]
    assert str(plan.postgres_data) in commands["postgres"]


def test_every_part_knows_its_home(plan: Plan) -> None:
    for part in stack.parts(plan):
        assert part.environment["TEMPS_HOME"] == str(plan.home.path), part.name


def test_secrets_reach_only_those_who_need_them(plan: Plan) -> None:
    have = {part.name: part.environment for part in stack.parts(plan)}
    for name, setting, owners in (
        ("ring", "TEMPS_KEYRING_FILE", {"gateway", "providers", "sender", "worker"}),
        ("session", "TEMPS_SESSION_KEY_FILE", {"gateway"}),
        ("first key", "TEMPS_BOOTSTRAP_KEY_FILE", {"gateway"}),
        ("first password", "TEMPS_BOOTSTRAP_PASSWORD_FILE", {"gateway"}),
        ("database", "TEMPS_POSTGRES_URL", {"analytics"}),
        ("database's owner", "TEMPS_POSTGRES_OWNER_URL", {"analytics"}),
    ):
        assert {part for part, settings in have.items() if setting in settings} == owners, name
    assert have["gateway"]["TEMPS_KEYRING_FILE"] != have["sender"]["TEMPS_KEYRING_FILE"]
    assert have["providers"]["TEMPS_KEYRING_FILE"] == have["sender"]["TEMPS_KEYRING_FILE"]


def test_those_who_reach_relays_know_every_port_of_ours_but_the_inboxs(plan: Plan) -> None:
    have = {part.name: part.environment for part in stack.parts(plan)}
    for name, settings in have.items():
        ports = settings.get("TEMPS_OWN_PORTS")
        assert (ports is not None) == (name in {"providers", "sender", "worker"}), name
        if ports is not None:
            assert {int(port) for port in ports.split(",")} == set(plan.ports.values()) - {plan.ports["inbox-smtp"]}


def test_only_the_gateway_listens_where_the_caller_says(plan: Plan) -> None:
    open_plan = Plan(plan.home, plan.ports, plan.credentials, {"TEMPS_HTTP_HOST": "192.0.2.7"})
    hosts = {part.name: part.environment.get("TEMPS_HTTP_HOST") for part in stack.parts(open_plan)}
    assert hosts.pop("gateway") == "192.0.2.7"
    assert set(hosts.values()) == {"127.0.0.1", None}


def test_links_point_to_the_gateway_unless_the_caller_has_a_better_address(plan: Plan) -> None:
    public = Plan(plan.home, plan.ports, plan.credentials, {"TEMPS_PUBLIC_URL": "https://mail.example.com"})
    assert stack.environment(plan, "sender")["TEMPS_PUBLIC_URL"] == "http://localhost:8080"
    assert stack.environment(public, "sender")["TEMPS_PUBLIC_URL"] == "https://mail.example.com"


@pytest.mark.parametrize("text", ["eighty", "0", "65536", "-1", "80.5"])
def test_a_port_that_is_none_is_a_clear_message(text: str) -> None:
    with pytest.raises(LocalError, match="TEMPS_PORT must be a port number"):
        stack.gateway_port({"TEMPS_PORT": text})


def test_the_default_port_and_a_chosen_one() -> None:
    assert stack.gateway_port({}) == stack.gateway_port({"TEMPS_PORT": ""}) == 8080
    assert stack.gateway_port({"TEMPS_PORT": "9000"}) == 9000


def test_a_stop_takes_less_than_ten_seconds_even_when_nobody_listens() -> None:
    assert set(PATIENCE) == set(Rank)
    assert sum(PATIENCE.values()) < DOWN_SECONDS
    assert PATIENCE[Rank.NATS] >= 10
