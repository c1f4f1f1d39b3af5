"""`make up`: the whole start, read from top to bottom, then the wait until somebody wants it to end."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NoReturn

from deploy.local import control, credentials, nats, ports, stack
from deploy.local.child import ROOT
from deploy.local.errors import LocalError
from deploy.local.first_steps import ensure_local_inbox, stored_login, summary
from deploy.local.home import Home, Lock, open_home, running_pid
from deploy.local.stack import Plan
from deploy.local.supervisor import Supervisor, end_orphans
from libs.common.known_settings import unknown_settings

SERVERS_SECONDS = 30.0
BOOTSTRAP_SECONDS = 60.0
SERVICES_SECONDS = 60.0


def say(line: str) -> None:
    """One line to the person at the terminal; a terminal that has gone away is no reason to stop."""
    try:
        print(f"{time.strftime('%H:%M:%S')}  {line}", flush=True)
    except (OSError, ValueError):
        return


def up(environment: Mapping[str, str]) -> int:
    """Runs until it is told to stop; the exit status. Raises LocalError before anything of it runs."""
    os.umask(0o077)  # what is written here and by every part is the operator's alone
    home = open_home(environment)
    lock = Lock(home)
    try:
        for sentence in unknown_settings(environment):
            say(f"warning: {sentence}")
        end_orphans(home, say)
        plan = make_plan(home, environment)
        return asyncio.run(_run(plan))
    finally:
        lock.release()


def make_plan(home: Home, environment: Mapping[str, str]) -> Plan:
    """Ports and credentials, made at the first start and the same ever after."""
    settled = ports.settle(home / "ports.json", stack.LISTENERS, stack.FIXED, stack.gateway_port(environment))
    return Plan(home, settled, credentials.ensure(home), environment)


def clean_up(home: Home) -> None:
    """Ends what a killed supervisor has left in this home. Raises LocalError when a living one holds it."""
    lock = Lock(home)
    try:
        end_orphans(home, say)
    finally:
        lock.release()


def run_command(home: Home, environment: Mapping[str, str], part: str, arguments: list[str]) -> NoReturn:
    """Becomes `python -m services.<part> …` with the settings that this part has in this home."""
    url = home.gateway_url()
    if url is None or not (home / "ports.json").exists():
        raise LocalError(f"nothing was ever started here (TEMPS_HOME={home.path}): make up")
    if running_pid(home) is None:
        raise LocalError(f"nothing runs here (TEMPS_HOME={home.path}): make up, in another terminal")
    if part not in stack.SERVICES:
        raise LocalError(f"{part!r} is no service; the services: {', '.join(stack.SERVICES)}")
    settled = {**json.loads((home / "ports.json").read_text()), "gateway": int(url.rpartition(":")[2])}
    plan = Plan(home, settled, credentials.ensure(home), environment)
    os.chdir(ROOT)
    command = [sys.executable, "-m", f"services.{part}", *arguments]
    os.execve(sys.executable, command, {**environment, **stack.environment(plan, part)})


async def _run(plan: Plan) -> int:
    begun = time.monotonic()
    say(f"home {plan.home.path}, logs in {plan.home.logs}")
    if not plan.postgres_data.exists():
        say("first start: making the database")
    bootstrap_settings = await asyncio.to_thread(stack.prepare, plan)
    async with (
        Supervisor(plan.home, stack.parts(plan), say) as supervisor,
        control.listening(plan.home, supervisor),
    ):
        starting = asyncio.create_task(_start(plan, supervisor, bootstrap_settings, begun))
        stop = asyncio.create_task(supervisor.asked_to_stop.wait())
        await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()  # raises what went wrong
            await stop
        starting.cancel()
        stopping = time.monotonic()
    say(f"stopped ({time.monotonic() - stopping:.1f} s); the data stays in {plan.home.path}")
    return 0


async def _start(plan: Plan, supervisor: Supervisor, bootstrap_settings: Mapping[str, str], begun: float) -> None:
    """Servers, streams, services, the first provider; in this order, each when the one before is ready."""
    say(f"starting {', '.join(stack.SERVERS)}")
    for name in stack.SERVERS:
        supervisor.start(name)
    if missing := await supervisor.ready(stack.SERVERS, SERVERS_SECONDS):
        raise LocalError(f"{', '.join(missing)} did not start; the logs say why: {plan.home.logs}")
    await asyncio.to_thread(nats.assert_syncs, plan.monitor_url)
    seconds = await asyncio.to_thread(nats.sync_time, plan.store)
    say(f"nats syncs every message; a sync takes {seconds * 1e3:.2f} ms: {1 / seconds:,.0f} a second at most")
    say("creating or updating the streams")
    await _bootstrap_streams({**bootstrap_settings, **plan.caller, **stack.environment(plan, "bootstrap")})

    services = [name for name in supervisor.children if name not in stack.SERVERS]
    say(f"starting {', '.join(services)}")
    for name in services:
        supervisor.start(name)
    late = await supervisor.ready(services, SERVICES_SECONDS)
    if late:
        say(f"still not ready: {', '.join(late)}; it goes on trying: make logs SERVICE={late[0]} says why")
    await ensure_local_inbox(plan, say)
    if not late:
        say(f"everything is ready ({time.monotonic() - begun:.1f} s)")
    print(summary(plan, await stored_login(plan)), flush=True)


async def _bootstrap_streams(environment: Mapping[str, str]) -> None:
    """Streams are made before a service binds to them, in a process of their own as elsewhere."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "libs.common.jetstream.bootstrap"),
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), BOOTSTRAP_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise LocalError(f"the streams could not be made:\n{output.decode(errors='replace')}")
