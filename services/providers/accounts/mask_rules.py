"""Credentials as callers see them: enough to recognise a key, never enough to use it."""

HIDDEN = "***"

_SHOWN = 4
_SHORT = 8


def mask(value: str) -> str:
    """`***` up to eight characters, else the first four, `...` and the last four."""
    return HIDDEN if len(value) <= _SHORT else f"{value[:_SHOWN]}...{value[-_SHOWN:]}"
