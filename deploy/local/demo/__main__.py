"""`make demo`: 200 tracked emails through the running system, opened and clicked as their readers would, and the sum.

What it opens and clicks comes out of the mail that arrived in the inbox, so that the whole way is shown.
"""

import os
import secrets
import shlex
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from deploy.local.demo.api import BOUNCED, DEFERRED, Api, Run
from deploy.local.demo.reader import follow_link, in_inbox, load_pixel
from deploy.local.demo.report import figures_of, show_email, show_figures
from deploy.local.errors import LocalError
from deploy.local.home import Home, home_of, running_pid

EMAILS = 200
THREADS = 8
ARRIVAL_SECONDS = 60.0
INTERRUPTED = 130
# Every so many messages one is opened, and one has a link followed.
OPEN_STEP, CLICK_STEP = 2, 5


def main() -> int:
    console = Console()
    try:
        demo(home_of(os.environ), console)
    except LocalError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted: what was sent stays sent", markup=False)
        sys.stdout.flush()
        os._exit(INTERRUPTED)  # the threads of requests under way are not waited for
    return 0


def demo(home: Home, console: Console) -> None:
    url = home.gateway_url()
    if url is None or running_pid(home) is None:
        raise LocalError(f"nothing runs here (TEMPS_HOME={home.path}): make up, in another terminal")
    api = Api(url, (home / "api-key").read_text().strip())
    if not any(each["is_default"] and each["is_local_inbox"] for each in api.call("GET", "/email-providers")):
        raise LocalError("the local inbox is not the default provider here: the demo sends to nobody else")
    name = f"demo-{secrets.token_hex(4)}"
    run = Run(name, f"{name}.example")
    columns = TextColumn("{task.description:<26}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, console=console) as progress, ThreadPoolExecutor(THREADS) as threads:
        began = time.monotonic()
        sent = _each(progress, threads, "sending", range(EMAILS), lambda number: _send(api, run, number))
        sending = time.monotonic() - began
        arrived = _arrived(progress, api, run)
        arriving = time.monotonic() - began
        opened = arrived[::OPEN_STEP]
        clicked = arrived[::CLICK_STEP]
        _each(progress, threads, "opening (the pixel)", opened, lambda id: load_pixel(api, id))
        _each(progress, threads, "clicking (a link)", clicked, lambda id: follow_link(api, id))
    figures = figures_of(api, run, len(opened), len(clicked))
    console.print(f"{EMAILS} accepted in {sending:.1f} s, {len(arrived)} in the inbox after {arriving:.1f} s")
    show_figures(console, api, run, figures)
    for title, number in (("A bounce", BOUNCED), ("A deferral", DEFERRED)):
        show_email(console, api, title, sent[number])
    console.print("\nSee all of them:\n", markup=False)
    console.print(f"  {listing(home, url, run)}", markup=False, highlight=False, soft_wrap=True)


def listing(home: Home, url: str, run: Run) -> str:
    """The shell command that lists this run's emails; it reads the key from its file, so that no terminal shows it."""
    key_file = shlex.quote(str(home / "api-key"))
    return f'curl -sS "{url}/api/emails?tag={run.tag}" -H "Authorization: Bearer $(cat {key_file})"'


def _each(
    progress: Progress, threads: ThreadPoolExecutor, title: str, things: Any, do: Callable[[Any], Any]
) -> list[Any]:
    task = progress.add_task(title, total=len(things))
    done = []
    for result in threads.map(do, things):
        done.append(result)
        progress.advance(task)
    return done


def _send(api: Api, run: Run, number: int) -> str:
    return str(api.call("POST", "/emails", run.email(number))["id"])


def _arrived(progress: Progress, api: Api, run: Run) -> list[int]:
    """The ids of this run's messages in the inbox, once all that can arrive have."""
    expected = EMAILS - 2
    task = progress.add_task("arriving in the inbox", total=expected)
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while len(found := in_inbox(api, run, expected)) < expected:
        progress.update(task, completed=len(found))
        if time.monotonic() > deadline:
            raise LocalError(f"only {len(found)} of {expected} arrived within {ARRIVAL_SECONDS:g} s: make status")
        time.sleep(0.2)
    progress.update(task, completed=len(found))
    return found


if __name__ == "__main__":
    sys.exit(main())
