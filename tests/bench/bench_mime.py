"""What a message and a rewritten html body cost in CPU, the message beside the `email` package's in the same run."""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from libs.common.mime import build_message, parse_address
from services.sender.links.rewrite_rules import rewrite

EMAIL_ID = "01934f3e-0000-7000-8000-00000000002a"
DATE = datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC)
SENDER = parse_address("Größe & Söhne <info@acme.example>")
RECIPIENT = parse_address("Bob <bob@b.example>")
SUBJECT = "Ihre Bestellung Nº 42 ist unterwegs"
TEXT = "Guten Tag,\n\n" + "Ihre Bestellung ist unterwegs und kommt in den nächsten Tagen an.\n" * 17 + "\nGrüße\n"
HTML = (
    "<html><body>"
    + '<p style="margin:0">Ihre <a href="https://acme.example/o/42?a=1&amp;b=2">Bestellung</a> kommt später.</p>\n' * 17
    + "</body></html>"
)


def run() -> list[tuple[str, str, str]]:
    """(name, figure, what it is to be measured against), medians of process time."""
    ours = _median_us(_built, 2_000)
    theirs = _median_us(_built_by_email, 100)
    html = _newsletter(links=8_000, size=1_000_000)
    rewriting = _median_us(lambda: _rewritten(html), 7) / 1_000
    size = len(_built())
    return [
        (
            f"MIME building, two parts, {size / 1000:.1f} KB message",
            f"{ours:.0f} µs",
            f"reach 200 µs; email package {theirs:.0f} µs ({theirs / ours:.1f} times as long)",
        ),
        (
            f"rewriting {len(html) / 1e6:.1f} MB of html, 8,000 links",
            f"{rewriting:.0f} ms",
            "reach 150 ms, limit 2,000 ms",
        ),
    ]


def _built() -> bytes:
    return build_message(
        from_=SENDER,
        to=(RECIPIENT,),
        subject=SUBJECT,
        text=TEXT,
        html=HTML,
        message_id=f"<{EMAIL_ID}@acme.example>",
        date=DATE,
        email_id=EMAIL_ID,
    )


def _built_by_email() -> bytes:
    message = EmailMessage(policy=SMTP)
    message["From"] = f"{SENDER.name} <{SENDER.address}>"
    message["To"] = f"{RECIPIENT.name} <{RECIPIENT.address}>"
    message["Subject"] = SUBJECT
    message["Date"] = format_datetime(DATE)
    message["Message-ID"] = f"<{EMAIL_ID}@acme.example>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Temps-Email-Id"] = EMAIL_ID
    message.set_content(TEXT, cte="quoted-printable")
    message.add_alternative(HTML, subtype="html", cte="quoted-printable")
    return message.as_bytes()


def _newsletter(*, links: int, size: int) -> str:
    link = '<a class="b" href="https://acme.example/{n}?a=1&amp;b=2">No {n}</a>'
    row = f'<tr><td style="padding:4px">{link}{{pad}}</td></tr>\n'
    padding = "x" * max(0, size // links - len(row))
    rows = "".join(row.format(n=n, pad=padding) for n in range(links))
    return f"<html><body><table>{rows}</table></body></html>"


def _rewritten(html: str) -> None:
    found = rewrite(html, email_id=EMAIL_ID, base_url="https://t.example", clicks=True, opens=True)
    if len(found.links) != 8_000:
        raise AssertionError(f"{len(found.links)} links found")


def _median_us(call: Callable[[], object], rounds: int) -> float:
    call()
    times = []
    for _ in range(rounds):
        started = time.process_time_ns()
        call()
        times.append(time.process_time_ns() - started)
    return statistics.median(times) / 1_000


if __name__ == "__main__":
    for row in run():
        print(*row, sep=" | ")
