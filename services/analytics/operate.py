"""The operator's commands on read models: rebuild, compare, verify-log, status, resume.

Run with the environment of the analytics service (`python -m services.analytics rebuild stats`). Exit status: 0 done
or equal, 1 something differs or a read model could not be made, 2 wrong use or NATS or Postgres cannot be reached.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TextIO

from pydantic import BaseModel, ConfigDict

from libs.common import logs
from libs.common.jetstream.bus import Bus
from libs.common.jetstream.errors import BusError
from libs.common.jetstream.streams import LOG
from libs.common.settings import load
from services.analytics.postgres import AwayError, Session, StatementError
from services.analytics.progress import Progress
from services.analytics.projector import (
    LogDivergedError,
    ReadModel,
    RebuildRefusedError,
    Verdict,
    VerifyFailedError,
    compare,
    rebuild,
    resume_model,
    status,
    verify_log,
)

DONE, DIFFERS, IMPOSSIBLE, INTERRUPTED = 0, 1, 2, 130
_CONNECT_SECONDS = 10.0
_COPY = "facts"


class OperatorSettings(BaseModel):
    """Where the parts are; the same variables as the service's."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    nats_url: str
    postgres_url: str
    postgres_owner_url: str


class Desk:
    """The dependencies of every command."""

    def __init__(self, settings: OperatorSettings, models: Sequence[ReadModel], bus: Bus, out: TextIO) -> None:
        """`bus` is connected."""
        self.settings, self.models, self.bus, self.out = settings, models, bus, out

    def say(self, line: str) -> None:
        self.out.write(line + "\n")
        self.out.flush()


def operate(
    arguments: Sequence[str],
    models: Sequence[ReadModel],
    environment: Mapping[str, str] | None = None,
    out: TextIO | None = None,
) -> int:
    """Run one command; its exit status."""
    names = [model.name for model in models if model.rebuilt]
    parsed = _parser(names).parse_args(arguments)
    logs.configure(logging.WARNING)
    settings = load(OperatorSettings, environment)
    name = getattr(parsed, "name", "all")
    chosen = [model for model in models if model.rebuilt and name in ("all", model.name)]
    try:
        return asyncio.run(_run(COMMANDS[parsed.command], settings, models, chosen, out or sys.stdout))
    except KeyboardInterrupt:
        print("\ninterrupted: what is served did not change", file=sys.stderr)  # noqa: T201 - for the operator
        return INTERRUPTED


async def _rebuild(desk: Desk, chosen: Sequence[ReadModel]) -> int:
    progress = Progress(f"rebuild {', '.join(model.name for model in chosen)}:", desk.out)
    outcome = await rebuild(
        desk.bus,
        owner_url=desk.settings.postgres_owner_url,
        postgres_url=desk.settings.postgres_url,
        models=chosen,
        report=progress.at,
    )
    progress.end()
    if outcome.rebuilt:
        desk.say(f"rebuilt {', '.join(outcome.rebuilt)} from {outcome.facts:,} facts in {outcome.seconds:.1f} s")
    for stopped in outcome.stopped:
        name = stopped.key.removesuffix("/next")
        desk.say(f"{name} was not rebuilt: it cannot take {stopped.stream} {stopped.sequence}: {stopped.error}")
    return DIFFERS if outcome.stopped else DONE


async def _compare(desk: Desk, chosen: Sequence[ReadModel]) -> int:
    progress = Progress("compare:", desk.out)
    found = await compare(
        desk.bus,
        owner_url=desk.settings.postgres_owner_url,
        postgres_url=desk.settings.postgres_url,
        models=chosen,
        report=progress.at,
    )
    progress.end()
    for name, lines in found.items():
        desk.say(f"{name}: {'differs from a rebuild' if lines else 'equal to a rebuild, row for row'}")
        for line in lines:
            desk.say(f"  {line}")
    return DIFFERS if any(found.values()) else DONE


async def _verify_log(desk: Desk, _chosen: Sequence[ReadModel]) -> int:
    progress = Progress("verify-log:", desk.out)
    copy = next(model for model in desk.models if model.name == _COPY)
    session = await Session.open(desk.settings.postgres_url, name="temps-verify-log", statement_timeout=60.0)
    try:
        verdicts = await verify_log(desk.bus, session, copy=copy, report=progress.at)
    finally:
        await session.close()
    progress.end()
    for verdict in verdicts:
        desk.say(_sentence(verdict))
        for line in verdict.lines:
            desk.say(f"  {line}")
    return DONE if all(verdict.whole for verdict in verdicts) else DIFFERS


def _sentence(verdict: Verdict) -> str:
    numbers = {
        "equal": verdict.compared - verdict.differing,
        "only in the copy": verdict.missing_in_stream,
        "only in the stream": verdict.missing_in_copy,
        "different": verdict.differing,
        "on neither side": verdict.holes,
        "not copied yet": verdict.uncopied,
        "published twice": verdict.duplicates,
    }
    counted = ", ".join(f"{number:,} {what}" for what, number in numbers.items() if number)
    return f"{verdict.stream}: {'whole' if verdict.whole else 'DAMAGED'} ({counted or 'no facts'})"


async def _status(desk: Desk, _chosen: Sequence[ReadModel]) -> int:
    session = await Session.open(desk.settings.postgres_url, name="temps-status")
    try:
        lines, fine = await status(desk.bus, session, desk.models, LOG)
    finally:
        await session.close()
    for line in lines:
        desk.say(line)
    return DONE if fine else DIFFERS


async def _resume(desk: Desk, chosen: Sequence[ReadModel]) -> int:
    session = await Session.open(desk.settings.postgres_url, name="temps-resume")
    try:
        for model in chosen:
            known = await resume_model(session, model.name)
            desk.say(f"{model.name}: {'tries again' if known else 'was never begun'}")
    finally:
        await session.close()
    return DONE


Command = Callable[[Desk, Sequence[ReadModel]], Awaitable[int]]

COMMANDS: Mapping[str, Command] = {
    "rebuild": _rebuild,
    "compare": _compare,
    "verify-log": _verify_log,
    "status": _status,
    "resume": _resume,
}
_WITH_NAME = ("rebuild", "compare", "resume")


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services.analytics", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command)
        if command in _WITH_NAME:
            sub.add_argument("name", choices=[*names, "all"])
    return parser


async def _run(
    command: Command,
    settings: OperatorSettings,
    models: Sequence[ReadModel],
    chosen: Sequence[ReadModel],
    out: TextIO,
) -> int:
    bus = Bus(settings.nats_url, name="analytics-operator")
    desk = Desk(settings, models, bus, out)
    await bus.start()
    try:
        if not await bus.wait_connected(_CONNECT_SECONDS):
            desk.say("NATS cannot be reached")
            return IMPOSSIBLE
        return await command(desk, chosen)
    except (RebuildRefusedError, VerifyFailedError, AwayError, BusError, StatementError) as error:
        desk.say(f"not done: {error}")
        return IMPOSSIBLE
    except LogDivergedError as error:
        desk.say(f"not done, the log is damaged: {error}")
        return DIFFERS
    finally:
        await bus.close()
