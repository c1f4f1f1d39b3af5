"""The servers that other tests stand on, and what `make up` relies on them for."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import nats
import psycopg
import pytest

from deploy.local import nats as nats_server_wheel
from deploy.local import postgres
from deploy.local.errors import LocalError
from deploy.local.ports import free_port
from deploy.local.servers import NatsAddress, running_nats
from tests.backing import Database


def test_each_test_has_an_empty_database_where_the_owner_creates_and_analytics_fills(
    database: Database,
) -> None:
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("CREATE SCHEMA v1; CREATE TABLE v1.emails (id int); CREATE TABLE stats (n int)")
    with psycopg.connect(database.url, autocommit=True) as analytics:
        analytics.execute("INSERT INTO v1.emails VALUES (1); INSERT INTO stats VALUES (2)")
        analytics.execute("CREATE TEMP TABLE batch (a int)")
        assert analytics.execute("SELECT id FROM v1.emails").fetchall() == [(1,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            analytics.execute("CREATE TABLE public.mine (a int)")


@pytest.mark.parametrize("turn", [1, 2])
async def test_a_clean_nats_has_no_streams_whatever_ran_before(clean_nats: NatsAddress, turn: int) -> None:
    connection = await nats.connect(clean_nats.url)
    jetstream = connection.jetstream()
    assert await jetstream.streams_info() == []
    await jetstream.add_stream(name=f"LEFT_{turn}", subjects=["left.>"])
    await connection.close()


async def test_nats_says_whether_it_syncs_and_the_wrong_answer_is_refused(tmp_path: Path) -> None:
    with running_nats(tmp_path / "safe", sync="always") as safe:
        nats_server_wheel.assert_syncs(safe.monitor_url)
        connection = await nats.connect(safe.url)
        assert connection.max_payload == 8 << 20
        await connection.close()
    with running_nats(tmp_path / "lax", sync="2m") as lax, pytest.raises(LocalError, match="does not sync"):
        nats_server_wheel.assert_syncs(lax.monitor_url)


def test_the_storage_limit_of_the_first_start_is_kept(tmp_path: Path) -> None:
    config = tmp_path / "nats.conf"
    nats_server_wheel.write_config(config, tmp_path / "store")
    config.write_text(config.read_text().replace("max_file_store: ", "max_file_store: 7"))
    once = config.read_text()
    nats_server_wheel.write_config(config, tmp_path / "store")
    assert config.read_text() == once


def test_postgres_of_make_up_wants_passwords_and_has_no_relaxed_setting(tmp_path: Path) -> None:
    data, port = tmp_path / "postgres", free_port()
    postgres.create(data, postgres.Passwords("super", "own", "ana"))
    process = subprocess.Popen(postgres.argv(data, port), stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        _wait(lambda: postgres.waiting_for(data, process.pid) is None)
        with psycopg.connect(postgres.url(port, postgres.ANALYTICS, "ana")) as analytics:
            for setting in ("fsync", "synchronous_commit", "full_page_writes"):
                assert analytics.execute(f"SHOW {setting}".encode()).fetchone() == ("on",)
        for wrong in ("", "own"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(postgres.url(port, postgres.ANALYTICS, wrong))
        assert str(data) in " ".join(process.args if isinstance(process.args, list) else [])
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_creation_cut_short_is_done_again(tmp_path: Path) -> None:
    data = tmp_path / "postgres"
    (tmp_path / "postgres.unfinished").mkdir()
    (tmp_path / "postgres.unfinished" / "PG_VERSION").write_text("18\n")
    postgres.create(data, None)
    assert (data / "PG_VERSION").exists()
    assert not (tmp_path / "postgres.unfinished").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can promise it (PDEATHSIG)")
def test_a_killed_test_process_leaves_no_server_behind(tmp_path: Path) -> None:
    program = textwrap.dedent(f"""
        import pathlib, sys, time
        from deploy.local.servers import running_nats
        with running_nats(pathlib.Path({str(tmp_path)!r})):
            print("up", flush=True)
            time.sleep(60)
    """)
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as tester:
        assert tester.stdout is not None
        assert tester.stdout.readline() == "up\n"
        tester.kill()
    _wait(lambda: not _running_with(str(tmp_path)))


def _running_with(argument: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and entry.name != str(os.getpid()):
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if argument in command:
                found.append(command)
    return found


def _wait(condition: object, seconds: float = 15) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
