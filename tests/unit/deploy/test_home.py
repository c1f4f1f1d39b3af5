import json
import os
import stat
from pathlib import Path

import pytest

from deploy.local import credentials
from deploy.local.errors import LocalError
from deploy.local.home import Lock, open_home, running_pid
from deploy.nats_users import USERS
from libs.common.apikey import is_well_formed
from libs.common.vault.keyring import read_key_ring
from libs.common.web.principal import read_key


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_credentials_can_be_read_by_those_who_need_them_and_by_nobody_else(tmp_path: Path) -> None:
    home = open_home({"TEMPS_HOME": str(tmp_path / "home")})
    made = credentials.ensure(home)
    assert read_key(made.principal_key) != read_key(made.session_key)
    ring, gateway_ring = read_key_ring(made.key_ring), read_key_ring(made.gateway_key_ring)
    assert ring.active == "k1"
    assert ring.keys["k1"] != gateway_ring.keys["k1"]
    assert is_well_formed(made.api_key.read_text().strip())
    assert len(made.admin_password.read_text().strip()) >= 16
    assert made.api_key == tmp_path / "home" / "api-key"
    assert made.admin_password == tmp_path / "home" / "admin-password"
    files = [path for path in home.path.rglob("*") if path.is_file()]
    assert len(files) == 9 + len(USERS)
    assert {mode(path) for path in files} == {0o600}
    assert mode(home.path) == mode(home.secrets) == 0o700


def test_a_second_start_changes_nothing(tmp_path: Path) -> None:
    home = open_home({"TEMPS_HOME": str(tmp_path)})
    first = credentials.ensure(home)
    contents = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert credentials.ensure(home) == first
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == contents


def test_passwords_do_not_show_in_a_repr(tmp_path: Path) -> None:
    made = credentials.ensure(open_home({"TEMPS_HOME": str(tmp_path)}))
    assert made.postgres.owner not in repr(made)
    assert made.postgres.superuser not in repr(made)


def test_the_home_is_dot_local_where_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_home({}).path == tmp_path / ".local"
    assert open_home({"TEMPS_HOME": "elsewhere"}).path == tmp_path / "elsewhere"


def test_one_supervisor_at_a_time_and_the_second_hears_of_the_first(tmp_path: Path) -> None:
    home = open_home({"TEMPS_HOME": str(tmp_path)})
    assert running_pid(home) is None
    lock = Lock(home)
    (tmp_path / "gateway-url").write_text("http://127.0.0.1:8080\n")
    with pytest.raises(LocalError, match=rf"already running here: pid {os.getpid()}, http://127.0.0.1:8080"):
        Lock(home)
    assert running_pid(home) == os.getpid()
    lock.release()
    assert running_pid(home) is None
    Lock(home).release()


def test_a_home_that_cannot_be_written_is_a_clear_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text(json.dumps({}))
    with pytest.raises(LocalError, match="TEMPS_HOME cannot be used"):
        open_home({"TEMPS_HOME": str(tmp_path / "file" / "home")})
