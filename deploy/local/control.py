"""How other terminals speak to a running supervisor: a JSON line each way over a socket file in its home."""

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from typing import Any

from deploy.local.errors import LocalError
from deploy.local.home import Home, running_pid
from deploy.local.supervisor import Supervisor, survivors

ANSWER_SECONDS = 40.0


@contextlib.asynccontextmanager
async def listening(home: Home, supervisor: Supervisor) -> AsyncIterator[None]:
    """Answers `status`, `stop`, `start` and `down` while the context lasts; the folder's mode is the guard.

    The path is given relative to the home: a socket's path may have no more than 107 bytes (unix(7)).
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await _answer(supervisor, json.loads(await reader.readline()))
        except (LocalError, OSError, ValueError, KeyError) as error:
            answer = {"error": str(error)}
        writer.write(json.dumps(answer).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()

    home.control.unlink(missing_ok=True)
    with contextlib.chdir(home.path):
        server = await asyncio.start_unix_server(serve, home.control.name)
    try:
        yield
    finally:
        server.close()
        home.control.unlink(missing_ok=True)


def ask(home: Home, do: str, part: str | None = None) -> dict[str, Any]:
    """One request to the supervisor of this home.

    Raises:
        LocalError: nobody runs here, or the supervisor refused; the text says which.
    """
    if running_pid(home) is None:
        if left := survivors(home):
            names = ", ".join(f"{each['name']} (pid {each['pid']})" for each in left)
            raise LocalError(
                f"the supervisor is gone, and what it started still runs without it: {names}. "
                "make up ends these and starts everything again; make down only ends them"
            )
        raise LocalError(f"not running (TEMPS_HOME={home.path}); start it with: make up")
    with socket.socket(socket.AF_UNIX) as connection, contextlib.chdir(home.path):
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(home.control.name)
            connection.sendall(json.dumps({"do": do, "part": part}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                line = stream.readline()
        except OSError as error:
            raise LocalError(f"the supervisor (pid {running_pid(home)}) does not answer yet: {error}") from error
    if not line:
        raise LocalError("the supervisor ended before it answered")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise LocalError(answer["error"])
    return answer


async def _answer(supervisor: Supervisor, request: dict[str, Any]) -> dict[str, Any]:
    match request["do"]:
        case "status":
            return {"pid": os.getpid(), "parts": await supervisor.status()}
        case "stop":
            await supervisor.hold(request["part"])
            return {}
        case "start":
            return {"not_ready": await supervisor.release(request["part"])}
        case "down":
            supervisor.asked_to_stop.set()
            return {}
        case unknown:
            raise LocalError(f"unknown request {unknown!r}")
