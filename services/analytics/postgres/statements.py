"""SQL is written as SQL: named statements in a file of their own."""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

_NAME = re.compile(r"^-- name: *([a-z][a-z0-9_]*) *$", re.MULTILINE)


def load_statements(path: Path) -> Mapping[str, str]:
    """Name → text of every `-- name: x` section, in the file's order; what stands above the first is comment.

    A section may hold several statements. Raises ValueError for a name given twice or a section without text.
    """
    pieces = _NAME.split(path.read_text(encoding="utf-8"))[1:]
    found: dict[str, str] = {}
    for name, text in zip(pieces[::2], pieces[1::2], strict=True):
        if name in found:
            raise ValueError(f"{path.name}: statement {name} is there twice")
        if not text.strip():
            raise ValueError(f"{path.name}: statement {name} is empty")
        found[name] = text.strip()
    return MappingProxyType(found)
