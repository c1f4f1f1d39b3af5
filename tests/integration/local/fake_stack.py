"""A supervisor over parts that need nothing, for the tests beside it: `python -m …fake_stack SPEC`.

SPEC is a JSON list of `{name, code, rank, ready_file?}`; each part is a Python process that runs `code`.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from deploy.local import control
from deploy.local.errors import LocalError
from deploy.local.home import Lock, open_home
from deploy.local.parts import Part, Rank
from deploy.local.supervisor import Supervisor, end_orphans
from deploy.local.up import say


def part(spec: dict[str, str]) -> Part:
    ready = Path(spec["ready_file"]) if "ready_file" in spec else None
    return Part(
        name=spec["name"],
        command=(sys.executable, "-u", "-c", spec["code"]),
        waiting_for=lambda _pid: None if ready is None or ready.exists() else "its file",
        environment={"PART": spec["name"]},
        rank=Rank[spec["rank"]],
    )


async def run(parts: list[Part]) -> None:
    home = open_home(os.environ)
    lock = Lock(home)
    (home / "gateway-url").write_text("http://127.0.0.1:1\n")
    end_orphans(home, say)
    async with Supervisor(home, parts, say) as supervisor, control.listening(home, supervisor):
        for name in supervisor.children:
            supervisor.start(name)
        try:
            await supervisor.ready(supervisor.children, 10)
        except LocalError as error:
            say(f"error: {error}")
            sys.exit(1)
        say("up")
        await supervisor.asked_to_stop.wait()
    lock.release()


if __name__ == "__main__":
    asyncio.run(run([part(spec) for spec in json.loads(sys.argv[1])]))
