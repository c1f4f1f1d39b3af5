import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.errors import LocalError
from deploy.local.ports import HIGHEST, LOWEST, free_port, is_free, settle

NAMES = ("nats", "postgres", "inbox-smtp")
FIXED = ("inbox-smtp",)


@contextmanager
def taken(port: int = 0) -> Iterator[int]:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield listener.getsockname()[1]


def test_ports_are_chosen_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = settle(file, NAMES, FIXED, free_port())
    again = settle(file, NAMES, FIXED, first["gateway"])
    assert again == first
    assert set(first) == {"gateway", *NAMES}
    assert len(set(first.values())) == 4
    assert all(LOWEST <= first[name] <= HIGHEST for name in NAMES)


def test_the_gateways_port_is_not_kept(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    settle(file, NAMES, FIXED, free_port())
    assert set(json.loads(file.read_text())) == set(NAMES)


def test_a_taken_port_is_chosen_anew_and_the_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = settle(file, NAMES, FIXED, free_port())
    with taken(first["nats"]):
        second = settle(file, NAMES, FIXED, first["gateway"])
    assert second["nats"] != first["nats"]
    assert {**second, "nats": 0} == {**first, "nats": 0}
    assert json.loads(file.read_text())["nats"] == second["nats"]


def test_a_taken_gateway_port_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with taken() as port, pytest.raises(LocalError, match=rf"port {port} is taken.*TEMPS_PORT="):
        settle(tmp_path / "ports.json", NAMES, FIXED, port)
    assert not (tmp_path / "ports.json").exists()


def test_a_port_that_only_root_may_use_is_not_called_taken_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.ports.is_free", lambda port: port != 80)
    with pytest.raises(LocalError, match=r"port 80 is taken, or this user may not use it .*TEMPS_PORT="):
        settle(tmp_path / "ports.json", ["nats"], [], 80)


def test_a_taken_inbox_port_is_refused_and_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = settle(file, NAMES, FIXED, free_port())
    with taken(first["inbox-smtp"]), pytest.raises(LocalError, match=rf"port {first['inbox-smtp']} \(inbox-smtp\)"):
        settle(file, NAMES, FIXED, first["gateway"])
    assert settle(file, NAMES, FIXED, first["gateway"]) == first


def test_a_gateway_port_that_a_part_had_moves_the_part(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = settle(file, NAMES, FIXED, free_port())
    second = settle(file, NAMES, FIXED, first["nats"])
    assert second["gateway"] == first["nats"]
    assert second["nats"] != first["nats"]


def test_a_new_name_gets_a_port_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = settle(file, NAMES[:2], FIXED, free_port())
    second = settle(file, NAMES, FIXED, first["gateway"])
    assert {name: second[name] for name in first} == first
    assert second["inbox-smtp"] not in first.values()


def test_a_port_in_use_is_not_free_whoever_listens() -> None:
    with taken() as port:
        assert not is_free(port)
    assert is_free(port)
