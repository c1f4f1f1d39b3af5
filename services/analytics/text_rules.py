"""Text as Postgres can keep it."""

from typing import overload


@overload
def clean(text: str) -> str: ...
@overload
def clean(text: None) -> None: ...
@overload
def clean(text: str | None) -> str | None: ...
def clean(text: str | None) -> str | None:
    """Postgres' text has no NUL; one in a fact must not stop a read model."""
    return text.replace("\0", "\ufffd") if text is not None and "\0" in text else text
