"""Restart, hold, order, orphans: the supervisor over parts that need nothing (fake_stack.py)."""

import itertools
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from deploy.local import proc

# Ends at SIGTERM, and writes what happened to it into $TEMPS_HOME/order.
WELL_BEHAVED = """
import os, signal, sys
order = os.path.join(os.environ["TEMPS_HOME"], "order")
def note(what):
    with open(order, "a") as file:
        file.write(f"{os.environ['PART']} {what}\\n")
def end(*_):
    note("stops")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGINT, lambda *_: note("got Ctrl-C"))
note("starts")
while True:
    signal.pause()
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True: signal.pause()"
DIES_AT_ONCE = "import os, time; open(os.environ['TEMPS_HOME'] + '/deaths', 'a').write(f'{time.time()}\\n'); exit(3)"


@dataclass
class Running:
    """One fake stack and what it has said."""

    process: subprocess.Popen[str]
    home: Path
    said: list[str] = field(default_factory=list)

    def read_until(self, text: str, seconds: float = 15) -> str:
        assert self.process.stdout is not None
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            line = self.process.stdout.readline()
            assert line, f"ended before it said {text!r}: {self.said}"
            self.said.append(line)
            if text in line:
                return line
        raise AssertionError(f"never said {text!r}: {self.said}")

    def ask(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "deploy.local", *command],
            env={**os.environ, "TEMPS_HOME": str(self.home)},
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def pids(self) -> dict[str, int]:
        return {each["name"]: each["pid"] for each in json.loads((self.home / "processes.json").read_text())}

    def order(self) -> list[str]:
        file = self.home / "order"
        return file.read_text().splitlines() if file.exists() else []


@contextmanager
def running(home: Path, *parts: dict[str, Any]) -> Iterator[Running]:
    command = [sys.executable, "-m", "tests.integration.local.fake_stack", json.dumps(parts)]
    process = subprocess.Popen(
        command,
        env={**os.environ, "TEMPS_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stack = Running(process, home)
    try:
        yield stack
    finally:
        process.terminate()
        process.communicate(timeout=30)
        for pid in stack.pids().values() if (home / "processes.json").exists() else ():
            proc.kill_tree(pid)


def a(name: str, code: str = WELL_BEHAVED, rank: str = "SERVICE", **more: str) -> dict[str, Any]:
    return {"name": name, "code": textwrap.dedent(code), "rank": rank, **more}


def wait(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def test_a_killed_part_is_started_again_and_reported(tmp_path: Path) -> None:
    with running(tmp_path, a("one"), a("two")) as stack:
        stack.read_until("up")
        before = stack.pids()
        os.kill(before["one"], signal.SIGKILL)
        assert "SIGKILL; started again in 0.2 s" in stack.read_until("one was ended by")
        wait(lambda: stack.pids().get("one") not in {None, before["one"]})
        assert stack.pids()["two"] == before["two"]
        assert " 1" in next(line for line in stack.ask("status").stdout.splitlines() if line.startswith("one"))


def test_a_part_that_cannot_live_is_tried_ever_more_slowly_and_its_last_words_are_shown(
    tmp_path: Path,
) -> None:
    with running(tmp_path, a("poor", "print('no such setting'); " + DIES_AT_ONCE)) as stack:
        assert "ended with status 3; started again in 0.2 s" in stack.read_until("poor ended")
        assert "no such setting" in stack.read_until("|")
        for pause in ("0.4", "0.8", "1.6"):
            assert f"again in {pause} s" in stack.read_until("poor ended")
    deaths = [float(line) for line in (tmp_path / "deaths").read_text().splitlines()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(deaths)]
    assert gaps[0] >= 0.2
    assert gaps[1] >= 0.4
    assert gaps[2] >= 0.8


def test_a_part_that_refuses_its_settings_is_not_waited_for_and_the_setting_is_named(tmp_path: Path) -> None:
    refuses = "import sys; print('setting TEMPS_DNS_RESOLVER: must look like 192.0.2.1:53'); sys.exit(2)"
    with running(tmp_path, a("fine"), a("particular", refuses, ready_file=str(tmp_path / "never"))) as stack:
        stack.read_until("error: particular cannot run with these settings:")
        stack.read_until("  setting TEMPS_DNS_RESOLVER: must look like 192.0.2.1:53")
        assert stack.process.wait(15) == 1
        rest = stack.process.stdout.read() if stack.process.stdout else ""
        assert "".join([*stack.said, rest]).count("TEMPS_DNS_RESOLVER") == 1, "said once, and not tried again"
    assert (tmp_path / "order").read_text().splitlines()[-1] == "fine stops"


def test_a_held_part_stays_down_until_it_is_started(tmp_path: Path) -> None:
    with running(tmp_path, a("one"), a("two")) as stack:
        stack.read_until("up")
        assert stack.ask("stop", "one").returncode == 0
        assert set(stack.pids()) == {"two"}
        assert "held" in next(line for line in stack.ask("status").stdout.splitlines() if line.startswith("one"))
        assert stack.ask("start", "one").stdout == "one is ready\n"
        assert set(stack.pids()) == {"one", "two"}


def test_a_part_that_is_waiting_for_its_restart_can_be_held(tmp_path: Path) -> None:
    with running(tmp_path, a("poor", DIES_AT_ONCE)) as stack:
        stack.read_until("again in 1.6 s", 20)
        assert stack.ask("stop", "poor").returncode == 0
        deaths = (tmp_path / "deaths").read_text()
        time.sleep(2)  # longer than the pause that was announced: nothing may happen in it
        assert (tmp_path / "deaths").read_text() == deaths


def test_an_unknown_part_is_refused_with_the_names_there_are(tmp_path: Path) -> None:
    with running(tmp_path, a("one")) as stack:
        stack.read_until("up")
        answer = stack.ask("stop", "mailer")
        assert answer.returncode == 1
        assert "no part 'mailer'; the parts: one" in answer.stderr


def test_users_stop_before_the_used_and_nothing_is_left(tmp_path: Path) -> None:
    parts = [a("db", rank="POSTGRES"), a("bus", rank="NATS"), a("box", rank="INBOX"), a("api"), a("worker")]
    with running(tmp_path, *parts) as stack:
        stack.read_until("up")
        pids = stack.pids()
        wait(lambda: len(stack.order()) == 5)
        begun = time.monotonic()
        assert stack.ask("down").returncode == 0
        assert stack.process.wait(10) == 0
        assert time.monotonic() - begun < 10
        stopped = [line.split()[0] for line in stack.order() if line.endswith("stops")]
        assert sorted(stopped[:2]) == ["api", "worker"]
        assert stopped[2:] == ["box", "bus", "db"]
        assert all(proc.started_at(pid) is None for pid in pids.values())


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_way_to_end_it_stops_everything(tmp_path: Path, ending: signal.Signals) -> None:
    with running(tmp_path, a("one")) as stack:
        stack.read_until("up")
        pid = stack.pids()["one"]
        wait(lambda: stack.order() == ["one starts"])
        os.killpg(stack.process.pid, ending)  # as a terminal does: to the whole foreground group
        assert stack.process.wait(10) == 0
        assert proc.started_at(pid) is None
        assert stack.order() == ["one starts", "one stops"]  # not "got Ctrl-C": it leads a session of its own


def test_a_part_that_does_not_listen_and_one_that_is_frozen_are_killed_in_time(tmp_path: Path) -> None:
    with running(tmp_path, a("stubborn", STUBBORN), a("frozen", rank="INBOX")) as stack:
        stack.read_until("up")
        pids = stack.pids()
        os.kill(pids["frozen"], signal.SIGSTOP)
        begun = time.monotonic()
        stack.process.send_signal(signal.SIGTERM)
        assert stack.process.wait(12) == 0
        assert time.monotonic() - begun < 10
        assert all(proc.started_at(pid) is None for pid in pids.values())


def test_a_second_start_in_the_same_home_says_who_runs_there(tmp_path: Path) -> None:
    with running(tmp_path, a("one")) as stack:
        stack.read_until("up")
        second = stack.ask("up")
        assert second.returncode == 1
        assert f"already running here: pid {stack.process.pid}, http://127.0.0.1:1" in second.stderr
        refused = stack.ask("reset", "--yes")
        assert refused.returncode == 1
        assert "make down first" in refused.stderr


def test_what_a_killed_supervisor_left_is_ended_by_the_next_start_users_first(tmp_path: Path) -> None:
    parts = [a("db", rank="POSTGRES"), a("api"), a("stubborn", STUBBORN, rank="INBOX")]
    with running(tmp_path, *parts) as first:
        first.read_until("up")
        wait(lambda: len(first.order()) == 2)
        left = first.pids()
        first.process.kill()
        first.process.wait()
        assert all(proc.started_at(pid) for pid in left.values())
        with running(tmp_path, a("api")) as second:
            assert "api" in second.read_until("ending what an earlier run left behind")
            second.read_until("up")
            assert all(proc.started_at(pid) is None for pid in left.values())
            assert [line for line in second.order() if line.endswith("stops")] == ["api stops", "db stops"]


def test_status_names_what_a_killed_supervisor_left(tmp_path: Path) -> None:
    with running(tmp_path, a("one"), a("two")) as stack:
        stack.read_until("up")
        left = stack.pids()
        stack.process.kill()
        stack.process.wait()
        for command in (["status"], ["stop", "one"]):
            answer = stack.ask(*command)
            assert answer.returncode == 1
            for name, pid in left.items():
                assert f"{name} (pid {pid})" in answer.stderr
            assert "the supervisor is gone" in answer.stderr
            assert "make up ends these and starts everything again" in answer.stderr


def test_down_cleans_up_after_a_killed_supervisor(tmp_path: Path) -> None:
    with running(tmp_path, a("one")) as stack:
        stack.read_until("up")
        left = stack.pids()
        stack.process.kill()
        stack.process.wait()
        answer = stack.ask("down")
        assert answer.returncode == 0
        assert "not running" in answer.stdout
        assert proc.started_at(left["one"]) is None


def test_a_pid_that_belongs_to_somebody_else_by_now_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WELL_BEHAVED], env={**os.environ, "TEMPS_HOME": str(tmp_path), "PART": "x"}
    ) as other:
        record = {"name": "one", "pid": other.pid, "started": "1", "rank": 1, "signal": 15}
        (tmp_path / "processes.json").write_text(json.dumps([record]))
        with running(tmp_path, a("one")) as stack:
            stack.read_until("up")
        assert other.poll() is None
        other.kill()


def test_status_shows_what_a_part_waits_for(tmp_path: Path) -> None:
    ready_file = tmp_path / "ready"
    with running(tmp_path, a("one", ready_file=str(ready_file))) as stack:
        wait(lambda: "waiting for its file" in stack.ask("status").stdout)
        ready_file.touch()
        stack.read_until("up")
        assert "ready" in stack.ask("status").stdout


def test_a_status_that_nobody_reads_to_its_end_is_no_error(tmp_path: Path) -> None:
    with running(tmp_path, a("one")) as stack:
        stack.read_until("up")
        reading, writing = os.pipe()
        os.close(reading)
        try:
            command = [sys.executable, "-u", "-m", "deploy.local", "status"]
            environment = {**os.environ, "TEMPS_HOME": str(tmp_path)}
            done = subprocess.run(
                command, env=environment, stdout=writing, stderr=subprocess.PIPE, check=False, timeout=30
            )
        finally:
            os.close(writing)
        assert (done.returncode, done.stderr) == (0, b"")


def test_without_a_running_stack_every_command_says_so(tmp_path: Path) -> None:
    stack = Running(subprocess.Popen(["true"], text=True), tmp_path)
    stack.process.wait()
    for command in (["status"], ["stop", "sender"], ["start", "sender"]):
        answer = stack.ask(*command)
        assert answer.returncode == 1
        assert "not running" in answer.stderr
        assert "make up" in answer.stderr


def test_a_home_with_a_very_long_path_can_be_controlled(tmp_path: Path) -> None:
    home = tmp_path / ("x" * 120)
    with running(home, a("one")) as stack:
        stack.read_until("up")
        assert stack.ask("status").returncode == 0
