"""A bar for a person, lines for a log."""

import io

import pytest

from services.analytics.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_a_bar_that_is_cleared_at_the_end() -> None:
    out = Terminal()
    progress = Progress("rebuild stats:", out)
    progress.at(500, 1000)
    progress.end()
    assert out.getvalue().startswith("\rrebuild stats: [###############               ]  50% 500 of 1,000 facts")
    assert out.getvalue().endswith("\r\x1b[K")


def test_a_log_gets_a_line_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("services.analytics.progress.time.monotonic", lambda: now[0])
    out = io.StringIO()
    progress = Progress("verify-log:", out)
    for _ in range(12):
        now[0] += 1
        progress.at(int(now[0] - 100) * 10, 120)
    progress.end()
    assert out.getvalue() == (
        "verify-log:  42% 50 of 120 facts, 10/s, 7 s left\nverify-log:  83% 100 of 120 facts, 10/s, 2 s left\n"
    )
