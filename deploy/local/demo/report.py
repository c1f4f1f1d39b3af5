"""The demo's sum: what became of these emails, and two of them in full."""

import time
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.table import Table

from deploy.local.demo.api import Api, Run

FIGURES_SECONDS = 15.0
STATUSES = ("queued", "captured", "sent", "delivered", "bounced", "failed", "suppressed")
FIGURES = ("delivered", "opened", "clicked", "bounced", "complained", "open_rate", "click_rate", "bounce_rate")


def figures_of(api: Api, run: Run, opened: int, clicked: int) -> dict[str, Any]:
    """The figures of this run, once they have caught up with what was just done."""
    deadline = time.monotonic() + FIGURES_SECONDS
    while True:
        figures: dict[str, Any] = api.call("GET", f"/emails/events/stats?tag={quote(run.tag)}")
        if (figures["opened"] >= opened and figures["clicked"] >= clicked) or time.monotonic() > deadline:
            return figures
        time.sleep(0.1)


def show_figures(console: Console, api: Api, run: Run, figures: dict[str, Any]) -> None:
    table = Table(title="The figures of these emails", title_justify="left")
    table.add_column("status")
    table.add_column("emails", justify="right")
    table.add_column("figure")
    table.add_column("value", justify="right")
    listed = [(status, _count(api, run, status)) for status in STATUSES]
    statuses = [(status, str(count)) for status, count in listed if count]
    values = [(name, _value(name, figures[name])) for name in FIGURES]
    for index in range(max(len(statuses), len(values))):
        left = statuses[index] if index < len(statuses) else ("", "")
        right = values[index] if index < len(values) else ("", "")
        table.add_row(*left, *right)
    console.print(table)


def _count(api: Api, run: Run, status: str) -> int:
    return int(api.call("GET", f"/emails?tag={quote(run.tag)}&status={status}&page_size=1")["total"])


def _value(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f} %" if name.endswith("_rate") else str(value)


def show_email(console: Console, api: Api, title: str, id: str) -> None:
    console.print(f"\n{title}: {id}", highlight=False)
    for each in api.call("GET", f"/emails/{id}")["recipients"]:
        reply = " ".join(str(each[name]) for name in ("smtp_code", "detail") if each[name])
        console.print(f"  {each['address']}: {each['status']} {reply}", highlight=False, markup=False, soft_wrap=True)
    for fact in api.call("GET", f"/emails/{id}/timeline"):
        console.print(f"  {fact['time']}  {fact['type']}", highlight=False, markup=False)
