"""How far a long operation is: a bar on a terminal, plain lines elsewhere (a log, a pipe)."""

import time
from typing import TextIO

_WIDTH = 30
_BAR_EVERY = 0.1
_LINE_EVERY = 5.0


class Progress:
    """Call `at(done, all)` as often as you like; it speaks only now and then."""

    def __init__(self, title: str, out: TextIO) -> None:
        """`title` says what is going on."""
        self._title, self._out, self._bar = title, out, out.isatty()
        self._began = time.monotonic()
        self._spoke = 0.0 if self._bar else self._began

    def at(self, done: int, total: int) -> None:
        """Facts done, facts there are."""
        now = time.monotonic()
        if now - self._spoke < (_BAR_EVERY if self._bar else _LINE_EVERY):
            return
        self._spoke = now
        text = self._text(done, total, now)
        self._out.write(f"\r{text}\x1b[K" if self._bar else f"{text}\n")
        self._out.flush()

    def end(self) -> None:
        """Clear the bar, so that what is said next stands alone."""
        if self._bar:
            self._out.write("\r\x1b[K")
            self._out.flush()

    def _text(self, done: int, total: int, now: float) -> str:
        share = min(done / total, 1.0) if total else 1.0
        rate = done / max(now - self._began, 0.001)
        left = f", {(total - done) / rate:.0f} s left" if rate and total > done else ""
        bar = f"[{'#' * int(share * _WIDTH):{_WIDTH}}] " if self._bar else ""
        return f"{self._title} {bar}{share:4.0%} {done:,} of {total:,} facts, {rate:,.0f}/s{left}"
