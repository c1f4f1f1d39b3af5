"""Starts the parts in order, keeps each running, and stops them in order: the one place that decides it."""

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from deploy.local import proc
from deploy.local.child import Child
from deploy.local.errors import LocalError
from deploy.local.home import Home, write_json
from deploy.local.parts import PATIENCE, Part, Rank

LOG_CHECK = 60.0
READY_POLL = 0.05
SAY_WAITING_EVERY = 5.0


class Supervisor:
    """Holds the processes of one home. Use as an async context manager: leaving it stops everything."""

    def __init__(self, home: Home, parts: Iterable[Part], say: Callable[[str], None]) -> None:
        self.home = home
        self.say = say
        self.asked_to_stop = asyncio.Event()
        self._awaited: set[str] = set()
        self.children = {part.name: Child(part, home.logs, say, self._record) for part in parts}

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(each, self.asked_to_stop.set)
        self._log_watch = asyncio.create_task(self._watch_logs())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log_watch.cancel()
        await self.stop_all()

    def start(self, name: str) -> None:
        self.children[name].start()

    async def ready(self, names: Iterable[str], seconds: float) -> list[str]:
        """Waits until these parts serve; says what is missing meanwhile. The answer is who does not.

        Raises LocalError as soon as one of them ends because of its settings.
        """
        begun, said = time.monotonic(), time.monotonic()
        missing = dict.fromkeys(names, "")
        self._awaited |= missing.keys()
        while missing and not self.asked_to_stop.is_set():
            self._check_settings(missing)
            for name, found in zip(list(missing), await asyncio.gather(*map(self._missing, missing)), strict=True):
                if found is None:
                    del missing[name]
                    self.say(f"{name} is ready ({time.monotonic() - begun:.1f} s)")
                else:
                    missing[name] = found
            if not missing or time.monotonic() - begun > seconds:
                break
            if time.monotonic() - said > SAY_WAITING_EVERY:
                said = time.monotonic()
                self.say("waiting: " + "; ".join(f"{name} for {what}" for name, what in missing.items()))
            await asyncio.sleep(READY_POLL)
        self._awaited.clear()
        return list(missing)

    async def hold(self, name: str) -> None:
        child = self._child(name)
        self.say(f"{name} is being held down, until: make start SERVICE={name}")
        await child.stop(hold=True)

    async def release(self, name: str) -> list[str]:
        """Starts a held part; the answer names it when it does not serve within fifteen seconds."""
        child = self._child(name)
        if child.pid is None:
            self.say(f"{name} is started")
            child.start()
        return await self.ready([name], 15)

    async def stop_all(self) -> None:
        """Everything down, users before the used, within ten seconds."""
        for rank in Rank:
            those = [child for child in self.children.values() if child.part.rank is rank]
            if running := [child.part.name for child in those if child.pid]:
                self.say(f"stopping {', '.join(running)}")
            await asyncio.gather(*(child.stop(hold=False) for child in those))

    async def status(self) -> list[dict[str, Any]]:
        found = await asyncio.gather(*map(self._missing, self.children))
        return [
            {
                "name": name,
                "state": child.state,
                "pid": child.pid,
                "port": child.part.port,
                "restarts": child.restarts,
                "since": child.since,
                "waiting_for": missing if child.state == "running" else None,
            }
            for (name, child), missing in zip(self.children.items(), found, strict=True)
        ]

    def _child(self, name: str) -> Child:
        if name not in self.children:
            raise LocalError(f"there is no part {name!r}; the parts: {', '.join(self.children)}")
        return self.children[name]

    async def _missing(self, name: str) -> str | None:
        child = self.children[name]
        if child.pid is None:
            return f"its process ({child.state})"
        return await asyncio.to_thread(child.part.waiting_for, child.pid)

    def _check_settings(self, names: Iterable[str]) -> None:
        said = {name: refusal for name in names if (refusal := self.children[name].refusal) is not None}
        if said:
            lines = dict.fromkeys(line for refusal in said.values() for line in refusal.splitlines())
            raise LocalError("\n  ".join((f"{', '.join(said)} cannot run with these settings:", *lines)))

    def _reap(self) -> None:
        for name, child in self.children.items():
            known = child.refusal
            child.reap()
            # While it is waited for, `ready` says it.
            if child.refusal is not None and known is None and name not in self._awaited:
                self.say(f"{name} cannot run with its settings and is not started again: {child.refusal}")

    def _record(self) -> None:
        records = [
            {
                "name": name,
                "pid": child.pid,
                "started": child.started,
                "rank": child.part.rank,
                "signal": child.part.stop_signal,
            }
            for name, child in self.children.items()
            if child.pid
        ]
        write_json(self.home.processes, records)

    async def _watch_logs(self) -> None:
        while True:
            await asyncio.sleep(LOG_CHECK)
            for child in self.children.values():
                child.rotate_log()


def survivors(home: Home) -> list[dict[str, Any]]:
    """The processes that a supervisor started in this home and that still run: name, pid, start time and so on."""
    if not home.processes.exists():
        return []
    return [
        record
        for record in json.loads(home.processes.read_text())
        if record["started"] and proc.started_at(record["pid"]) == record["started"]
    ]


def end_orphans(home: Home, say: Callable[[str], None]) -> None:
    """Ends what a supervisor that was killed has left behind, in the order in which it would have.

    Only for the holder of the home's lock.
    """
    records = survivors(home)
    if records:
        say(f"ending what an earlier run left behind: {', '.join(record['name'] for record in records)}")
    for rank in Rank:
        those = [record for record in records if record["rank"] == rank]
        for what in {record["signal"] for record in those}:
            same = {record["pid"]: record["started"] for record in those if record["signal"] == what}
            proc.end(same, signal.Signals(what), PATIENCE[rank])
    home.processes.unlink(missing_ok=True)
